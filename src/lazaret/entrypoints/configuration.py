"""Which program converges and checks machines here: Ansible, or what plays it for the lab's simulated hosts."""

from lazaret.adapters.ansible import AnsibleRunner, baseline_version, load_variables
from lazaret.kernel.settings import Settings
from lazaret.servers.configuration import ConfigurationRunner


def configuration_of(settings: Settings) -> ConfigurationRunner:
    """Ansible, or for the hosts of a simulated lab what plays it there."""
    if settings.lazaret_lab_simulated:
        from lazaret.lab.simulated_configuration import SimulatedConfigurationRunner  # noqa: PLC0415 - the lab only

        version = baseline_version(load_variables(settings.provisioning_vars_file))
        return SimulatedConfigurationRunner(baseline_version=version)
    return AnsibleRunner()
