"""Every table of every room in one place, so that the migrations can be held against the models."""

import lazaret.alerting.model
import lazaret.deployments.model
import lazaret.healing.model
import lazaret.incidents.model
import lazaret.kernel.audit
import lazaret.kernel.processes
import lazaret.kernel.secrets
import lazaret.operations.model
import lazaret.probing.model
import lazaret.servers.call_budget
import lazaret.servers.model
import lazaret.users.model
import lazaret.users.sessions  # noqa: F401 - importing registers the tables
from lazaret.kernel.database import Base

metadata = Base.metadata
