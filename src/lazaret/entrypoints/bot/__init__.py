"""The Telegram bot: what people ask, what they press, and who may."""
