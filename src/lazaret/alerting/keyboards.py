"""Which buttons stand under a message. Pure; every button is signed for the one person who sees it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from gettext import NullTranslations

from lazaret.alerting.callbacks import Act, Press, Signer
from lazaret.alerting.messenger import Button, Keyboard

LIFETIME = timedelta(hours=24)
"""So long a button works; an approval's may end sooner, with the approval itself."""


@dataclass(frozen=True, slots=True)
class Buttons:
    """Makes the buttons of one person."""

    signer: Signer
    user: int
    language: NullTranslations
    at: datetime
    dashboard: str = ""
    """Address of the dashboard, without a slash at the end; empty: no button opens it."""

    def of_incident(self, incident_id: int, handle: str | None, *, is_acknowledged: bool) -> Keyboard:
        """Under the message of an open incident."""
        _ = self.language.gettext
        first = [] if is_acknowledged else [self._act(_("Acknowledge"), Act.ACKNOWLEDGE, incident_id)]
        first += [
            self._act(_("Snooze 1 h"), Act.SNOOZE_1H, incident_id),
            self._act(_("Snooze 4 h"), Act.SNOOZE_4H, incident_id),
        ]
        return (tuple(first), *self._about(handle, f"/incidents/{incident_id}"))

    def of_question(self, approval_id: int, handle: str | None) -> Keyboard:
        """Under an approval that nobody has answered."""
        _ = self.language.gettext
        answers = (
            self._act(f"✅ {_('Approve')}", Act.APPROVE, approval_id),
            self._act(f"⛔ {_('Deny')}", Act.DENY, approval_id),
        )
        return (answers, *self._about(handle, "/approvals"))

    def of_note(self, handle: str | None) -> Keyboard:
        """Under any other message that is about a server."""
        return self._about(handle, f"/servers/{handle}") if handle else ()

    def to_page(self, subject: str, *, before: int | None, after: int | None) -> Keyboard:
        """Under one page of a list."""
        row = [self._act("◀", Act.PAGE, f"{subject}.{before}")] if before is not None else []
        row += [self._act("▶", Act.PAGE, f"{subject}.{after}")] if after is not None else []
        return (tuple(row),) if row else ()

    def _about(self, handle: str | None, path: str) -> Keyboard:
        row = [self._act(self.language.gettext("Why?"), Act.WHY, handle)] if handle and len(handle) <= 24 else []
        if self.dashboard:
            row.append(Button(self.language.gettext("Open"), url=f"{self.dashboard}{path}"))
        return (tuple(row),) if row else ()

    def _act(self, label: str, act: Act, subject: object) -> Button:
        return Button(label, self.signer.sign(Press(act, str(subject), self.user, self.at + LIFETIME)))
