"""What was deployed on a simulated host. Its doors are in `simulated_doors`."""

from pydantic import BaseModel, Field


class SimulatedService(BaseModel):
    """One service as it was brought about."""

    name: str
    state: str
    """`deployed`, `stopped`, `removed`, or `logs`, which changes nothing."""
    port: int = 0
    is_public: bool = False
    containers: list[str] = Field(default_factory=list)

    @property
    def runs(self) -> bool:
        return self.state == "deployed"
