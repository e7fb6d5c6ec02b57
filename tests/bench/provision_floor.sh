# The floor of the benchmark: a shell script on the host itself that reaches the state that Lazaret's playbook reaches.
# It proves nothing, waits for nobody and cannot be run again safely: it is only the least that the work can cost.
set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
HOSTNAME_WANTED=$1
KEY=$2
mkdir -p -m 700 /root/.ssh
printf '%s\n' "$KEY" >> /root/.ssh/authorized_keys
chmod 600 /root/.ssh/authorized_keys
echo "$HOSTNAME_WANTED" > /etc/hostname
hostname "$HOSTNAME_WANTED"
printf '127.0.0.1\tlocalhost\n127.0.1.1\t%s\n' "$HOSTNAME_WANTED" > /etc/hosts
ln -sf /usr/share/zoneinfo/Etc/UTC /etc/localtime
echo Etc/UTC > /etc/timezone
mkdir -p /etc/docker /etc/fail2ban/jail.d
echo '{"log-driver": "json-file", "log-opts": {"max-size": "10m", "max-file": "3"}, "live-restore": true}' > /etc/docker/daemon.json
printf '[sshd]\nenabled = true\nbackend = systemd\nport = 22\n' > /etc/fail2ban/jail.d/lazaret.local
apt-get update -q
apt-get dist-upgrade -y -q --no-install-recommends -o Dpkg::Options::=--force-confold \
  curl git htop vim ca-certificates ufw fail2ban python3-systemd iptables docker.io docker-cli docker-compose
block() {
  cat <<RULES
# BEGIN LAZARET
*filter
:DOCKER-USER - [0:0]
:LAZARET-PUBLISHED - [0:0]
-A DOCKER-USER -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN
-A DOCKER-USER -i docker0 -j RETURN
-A DOCKER-USER -i br-+ -j RETURN
-A DOCKER-USER -j LAZARET-PUBLISHED
-A DOCKER-USER -j DROP
-A LAZARET-PUBLISHED -p tcp -m conntrack --ctstate DNAT --ctorigdstport 80 -j ACCEPT
-A LAZARET-PUBLISHED -p tcp -m conntrack --ctstate DNAT --ctorigdstport 443 -j ACCEPT
COMMIT
# END LAZARET
RULES
}
block >> /etc/ufw/after.rules
block >> /etc/ufw/after6.rules
ufw allow proto tcp to any port 22,80,443
ufw --force enable
printf 'PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n' > /etc/ssh/sshd_config.d/00-lazaret.conf
sshd -t
systemctl reload ssh
