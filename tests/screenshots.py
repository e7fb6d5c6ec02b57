"""`make screenshots`: every page in light, dark and on a phone, over the example fleet, into docs/screenshots."""

import asyncio
from pathlib import Path

from tests.acceptance.dashboard.conftest import desk_of

OUT = Path(__file__).resolve().parent.parent / "docs" / "screenshots"
PAGES = {
    "fleet": "/",
    "server": "/servers/vps-2002",
    "operation": "/operations/1",
    "operations": "/operations",
    "incidents": "/incidents?show=all",
    "incident": "/incidents/1",
    "approvals": "/approvals",
    "deployments": "/deployments",
    "deployment": "/deployments/1",
    "deploy": "/deployments/new",
    "audit": "/audit",
    "settings": "/settings",
}
WAYS = {"light": ("light", False), "dark": ("dark", False), "phone": ("light", True)}


async def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    async with desk_of(servers=14) as desk:
        for way, (scheme, phone) in WAYS.items():
            async with desk.page(scheme=scheme, phone=phone) as page:
                await page.wait_for_selector("#live.on")
                for name, path in PAGES.items():
                    await page.goto(desk.url + path)
                    await page.wait_for_selector("#live.on")
                    await page.screenshot(path=OUT / f"{name}-{way}.jpg", type="jpeg", quality=62)
    print(f"{len(list(OUT.glob('*.jpg')))} pictures in {OUT.relative_to(OUT.parent.parent)}")


if __name__ == "__main__":
    asyncio.run(main())
