"""Which mirrors a machine uses is read from any form of apt configuration; the hosts are pointed at the cache."""

from pathlib import Path

from lazaret.lab.package_cache import (
    AptSource,
    Mirrors,
    choose_mirrors,
    guest_sources,
    machine_mirrors,
    nginx_configuration,
    parse_deb822,
    parse_one_line,
)

DEB822 = """\
Types: deb
# URIs: http://commented.example/debian
URIs: http://mirror.example/debian/
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb deb-src
URIs: http://security.example/debian-security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://disabled.example/debian
Suites: bookworm
Components: main

Types: deb-src
URIs: http://sources.example/debian
Suites: bookworm
Components: main
"""

ONE_LINE = """\
# deb http://commented.example/debian bookworm main
deb [arch=amd64 signed-by=/k.gpg] https://download.example/linux/debian bookworm stable
deb http://third.example/apt cloud-sdk-bookworm main
deb-src http://mirror.example/debian bookworm main
deb http://mirror.example/debian bookworm main contrib # ours
deb http://mirror.example/debian-security bookworm-security main
"""


def test_deb822_is_read_without_comments_sources_and_disabled_stanzas() -> None:
    assert parse_deb822(DEB822) == [
        AptSource("http://mirror.example/debian", ("bookworm", "bookworm-updates"), ("main", "contrib")),
        AptSource("http://security.example/debian-security", ("bookworm-security",), ("main",)),
    ]


def test_third_parties_are_not_taken_for_debian() -> None:
    expected = Mirrors("http://mirror.example/debian", "http://mirror.example/debian-security")
    assert choose_mirrors(parse_one_line(ONE_LINE)) == expected
    assert choose_mirrors(parse_one_line(ONE_LINE.split("deb-src")[0])) is None


def test_a_security_suite_of_the_same_path_is_no_archive() -> None:
    sources = [
        AptSource("http://s.example/debian", ("trixie-security",), ("main",)),
        AptSource("http://a.example/debian", ("trixie",), ("main",)),
    ]
    assert choose_mirrors(sources) == Mirrors("http://a.example/debian", "http://s.example/debian")


def test_a_file_of_mirrors_is_followed(tmp_path: Path) -> None:
    listed = tmp_path / "mirrors" / "debian.list"
    listed.parent.mkdir()
    listed.write_text("\nhttps://first.example/debian\nhttps://second.example/debian\n", encoding="utf-8")
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d" / "debian.sources").write_text(
        f"Types: deb\nURIs: mirror+file://{listed}\nSuites: trixie\nComponents: main\n", encoding="utf-8"
    )
    assert machine_mirrors(tmp_path) == Mirrors("https://first.example/debian", None)


def test_hosts_have_security_updates_only_where_the_machine_has() -> None:
    both = guest_sources("http://10.0.0.1:3142", "trixie", Mirrors("http://a/debian", "http://s/debian-security"))
    assert [source.suites for source in parse_deb822(both)] == [("trixie", "trixie-updates"), ("trixie-security",)]
    assert "Signed-By:" in both
    one = guest_sources("http://10.0.0.1:3142", "trixie", Mirrors("http://a/debian", None))
    assert [source.uri for source in parse_deb822(one)] == ["http://10.0.0.1:3142/debian"]


def test_the_cache_passes_paths_on_to_the_right_mirror_and_listens_on_the_bridge_alone() -> None:
    text = nginx_configuration(
        address="10.0.0.1",
        mirrors=Mirrors("https://a.example/pub/debian", "http://s.example/debian-security"),
        packages=Path("/cache/packages"),
        run_directory=Path("/lab/packages"),
    )
    assert [line.strip() for line in text.splitlines() if "listen" in line] == ["listen 10.0.0.1:3142;"]
    assert "rewrite ^/debian/(.*)$ /pub/debian/$1 break; proxy_pass https://a.example;" in text
    assert "rewrite ^/debian-security/(.*)$ /debian-security/$1 break; proxy_pass http://s.example;" in text
    assert "proxy_http_version 1.1;" in text
