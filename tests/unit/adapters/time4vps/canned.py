"""A provider made of canned answers behind httpx's transport: no socket, no sleep."""

from collections.abc import Callable
from typing import Any

import httpx

PASSWORD = "planted-Acc0unt&<pass>"

Answer = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


class CannedProvider:
    """Answers each path with its list of answers in turn; the last one stays."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.requests: list[httpx.Request] = []

    def on(self, call: str, *answers: Any) -> None:
        """`call` is method and path; an answer is a JSON body, a Response, or an exception to raise."""
        self.answers[call] = [
            a if isinstance(a, httpx.Response | Exception) or callable(a) else httpx.Response(200, json=a)
            for a in answers
        ]

    @property
    def calls(self) -> list[str]:
        return [f"{request.method} {request.url.path.removeprefix('/api')}" for request in self.requests]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answers = self.answers[self.calls[-1]]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else answer(request)
