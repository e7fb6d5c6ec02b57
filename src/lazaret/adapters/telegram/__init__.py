"""Telegram, through python-telegram-bot."""

from lazaret.adapters.telegram.messenger import TelegramMessenger

__all__ = ["TelegramMessenger"]
