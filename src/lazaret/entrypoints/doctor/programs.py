"""The programs that set servers up: Ansible and ssh, and the variables that an operator adds."""

import asyncio
import shutil

from lazaret.entrypoints.doctor.finding import Finding, Patient, State

AGAIN = "Install Lazaret again with all that it needs: `make setup`, or pip install --force-reinstall the wheel."


async def check_ansible(name: str, patient: Patient) -> Finding:
    """It can be imported and run, and understands the operator's variables. Raises `Misconfigured`."""
    from lazaret.adapters.ansible import load_variables  # noqa: PLC0415 - heavy

    load_variables(patient.settings.provisioning_vars_file)
    if shutil.which("ssh") is None:
        return Finding(name, State.BROKEN, "the program ssh is missing", "apt-get install openssh-client")
    program = patient.programs / "ansible-playbook"
    try:
        process = await asyncio.create_subprocess_exec(
            program, "--version", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
    except OSError as error:
        return Finding(name, State.BROKEN, f"{program} cannot be run: {error.strerror}", AGAIN)
    output, _ = await process.communicate()
    lines = output.decode(errors="replace").splitlines()
    if process.returncode != 0:
        said = next((line for line in reversed(lines) if line.strip()), "it says nothing")
        return Finding(name, State.BROKEN, f"ansible-playbook fails: {said[:150]}", AGAIN)
    return Finding(name, State.OK, " ".join(lines[:1]))
