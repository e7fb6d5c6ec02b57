"""Telegram: whether the bot's token is accepted, whether Telegram can be reached, whether anybody would be told."""

from sqlalchemy import select
from telegram import Bot
from telegram.error import InvalidToken, NetworkError
from telegram.request import HTTPXRequest

from lazaret.entrypoints.doctor.finding import Finding, Patient, State
from lazaret.kernel.settings import Settings
from lazaret.users.model import Role, User

PATIENCE_S = 10.0


async def check_telegram(name: str, patient: Patient) -> Finding:
    """Only when there is a token."""
    settings = patient.settings
    if settings.telegram_bot_token is None:
        return Finding(name, State.MISSING, "no bot: nobody is told of anything", "Set TELEGRAM_BOT_TOKEN.")
    try:
        username = await _username(settings)
    except InvalidToken:
        what = f"{settings.telegram_api_base_url} does not accept the bot's token"
        cure = "Set TELEGRAM_BOT_TOKEN to the token that @BotFather shows (/mybots, API Token)."
        return Finding(name, State.BROKEN, what, cure)
    except NetworkError as error:
        said = patient.redactor.clean(str(error))[:100]
        what = f"{settings.telegram_api_base_url} does not answer: {said}"
        cure = "Check network, proxy and TELEGRAM_API_BASE_URL: curl -sI shows whether the address answers."
        return Finding(name, State.BROKEN, what, cure)
    if not settings.telegram_admin_ids and not await _has_admins(patient):
        cure = f"Write /start to @{username}, and set TELEGRAM_ADMIN_IDS to the number that it names."
        return Finding(name, State.MISSING, f"@{username} answers, and there is nobody to tell", cure)
    return Finding(name, State.OK, f"@{username}")


async def _username(settings: Settings) -> str:
    """Raises the library's errors."""
    assert settings.telegram_bot_token is not None
    bot = Bot(
        settings.telegram_bot_token.get_secret_value(),
        base_url=f"{settings.telegram_api_base_url.rstrip('/')}/bot",
        request=HTTPXRequest(connect_timeout=PATIENCE_S, read_timeout=PATIENCE_S),
    )
    async with bot:  # which asks who it is
        return bot.username


async def _has_admins(patient: Patient) -> bool:
    if patient.is_new:
        return False
    async with patient.db.transaction() as session:
        return await session.scalar(select(User.id).where(User.role == Role.ADMIN.value).limit(1)) is not None
