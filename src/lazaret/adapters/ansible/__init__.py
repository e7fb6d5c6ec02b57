"""Converging machines with Ansible."""

from lazaret.adapters.ansible.runner import AnsibleRunner
from lazaret.adapters.ansible.variables import load_variables
from lazaret.playbooks import baseline_version

__all__ = ["AnsibleRunner", "baseline_version", "load_variables"]
