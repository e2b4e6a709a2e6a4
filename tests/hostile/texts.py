# SPDX-License-Identifier: Apache-2.0
"""What operators write: entries, aliases, addresses, files, variables."""

import json
import os
import pathlib
import random
import typing as ty

from nova_vfio_variant import finding, shown, source
from nova_vfio_variant.check import render
from nova_vfio_variant.conf import loader
from nova_vfio_variant.host.decide import host_spec
from nova_vfio_variant.pci import (
    address,
    alias_parse,
    flavor,
    matching,
    parse,
)
from nova_vfio_variant.testing import hosts
from tests import random_hosts
from tests.hostile import inside, kind, mutations

_TOP = pathlib.Path(__file__).parents[2]
_FUNCTIONS = hosts.make_functions(2, 3)
_ADDRESSES: ty.Final[tuple[ty.Any, ...]] = (
    *("0000:25:00.4", "*:25:*.*", "25:00.*", "0000:00:00.1", "*", ":.4"),
    {"domain": "^0000$", "bus": "^(00|01)$", "slot": ".*", "function": "[06]"},
    {"domain": ".*", "bus": "0[0-9a-f]", "slot": "1|00", "function": "^[^7]$"},
    {"bus": "(?i)0A", "slot": r"\d{2}", "function": "(?P<x>1)|2(?#y)"},
)
ENTRIES: ty.Final[tuple[dict[str, ty.Any], ...]] = (
    *(
        {
            "vendor_id": "8086",
            "product_id": "10ca",
            "address": where,
            "resource_class": "CUSTOM_FAST_VF",
            "traits": "CUSTOM_A, HW_NIC_SRIOV",
            "managed": "no",
            "live_migratable": "yes",
            "one_time_use": "no",
            "physical_network": None,
            "remote_managed": "false",
            "trusted": "true",
        }
        for where in _ADDRESSES
    ),
    {"vendor_id": "10de", "product_id": "*", "devname": "eth0"},
    {"product_id": "10ca", "physical_network": "physnet1", "tag": "x"},
)
ALIASES: ty.Final = (
    {
        "name": "nic",
        "vendor_id": "8086",
        "product_id": "10ca",
        "device_type": "type-VF",
        "numa_policy": "required",
        "capability_type": "pci",
        "live_migratable": "yes",
    },
    {
        "name": "fast-nic",
        "device_type": "type-VF",
        "resource_class": "CUSTOM_FAST_VF",
        "traits": "CUSTOM_DIRECT_PATH",
        "numa_policy": "socket",
    },
)
_HOST_SPECS: ty.Final = (
    {"address": "0000:25:00.0", "num_vfs": 16},
    {
        "address": "0000:25:*.*",
        "vendor_id": "8086",
        "product_id": "10ca",
        "driver": "variant",
        "companions": ["0000:25:00.1"],
        "allow_pf": True,
    },
)
#: Expressions that some engine takes long for, or can't read.
_EXPRESSIONS: ty.Final = (
    *("(a+)+$", "^(0|0|0)*1$", "(.*)*x", "((.*)*)*x", "(.+)+\\1", "(0*)*$"),
    *("(?:0{1,99}){1,99}x", "0{99999}", "(0{1000}){1000}", "(" * 90),
    *("(?<=0+)1", "(?=.*)*", "\\", "[", "[z-a]", "(?P<n>0)(?P<n>1)", "*0"),
    *(
        "(?R)",
        "(?1)",
        "(?>0+)",
        "\\p{L}",
        "\\K",
        "(?|a|b)",
        "(?e:0){e}",
        "{e}",
    ),
    *(
        "\\N{DIGIT ZERO}",
        "(?a)(?L).",
        "(?x) 0 # c",
        "\\777",
        "(?i)\u0130",
        "\0",
    ),
    *("|" * 500, "0?" * 60 + "0" * 60, "(?:" * 60 + ")*" * 60, "^^^$$$", ""),
)
_CONFIGURATIONS: ty.Final = (
    _TOP / "etc/nova-vfio/demo/nova.conf",
    _TOP / "etc/nova-vfio/nova-vfio.conf.sample",
    *sorted((_TOP / "tests/functional/cases").glob("*/*.conf")),
)


def sources(
    texts: ty.Iterable[str], option: str = "device_spec"
) -> list[source.SourceText]:
    """The same as values of an option."""
    return [source.SourceText.of(text, option) for text in texts]


def expect_shown(findings: ty.Sequence[finding.Finding]) -> bool:
    """See that findings can stand before a person; whether none is an error.

    :raises kind.Fault: they can't
    """
    told = render.text(findings)
    json.dumps([render.data(found) for found in findings])
    for sign in told:
        if not sign.isprintable() and sign != "\n":
            raise kind.Fault(f"{sign!r} is printed raw")
    return not any(
        found.severity is finding.Severity.ERROR for found in findings
    )


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


class _Values(kind.Kind):
    """Values of an option that is JSON."""

    good: ty.ClassVar[tuple[ty.Any, ...]]

    def make(self, rng: random.Random) -> kind.Input:
        """Some values; one that is no JSON can't be taken."""
        texts = tuple(
            mutations.as_json(rng, rng.choice(self.good))
            for _ in range(rng.choice((1, 1, 1, 2, 5)))
        )
        return kind.Input(texts, not all(map(_is_json, texts)))


class DeviceSpecs(_Values):
    """``[pci] device_spec``, and what matches it."""

    name = "device_spec"
    share = 24
    good = ENTRIES

    def read(self, given: ty.Any, place: kind.Place) -> bool:
        """Read them, match a host with them, and explain."""
        specs, findings = parse.parse_device_specs(sources(given))
        matcher = matching.Matcher(specs, _FUNCTIONS)
        for function in _FUNCTIONS:
            matcher.winner(function)
            for match in matcher.explain(function):
                shown.line(str(match))
        return expect_shown(findings)


class Aliases(_Values):
    """``[pci] alias``."""

    name = "alias"
    share = 14
    good = ALIASES

    def read(self, given: ty.Any, place: kind.Place) -> bool:
        """Read them, for both ways to schedule."""
        texts = sources(given, "alias")
        taken = False
        for in_placement in (False, True):
            aliases, findings = alias_parse.parse_aliases(
                texts, in_placement=in_placement
            )
            taken = expect_shown(findings) or taken
            for name in aliases:
                requests = flavor.parse_request(f"{name}:1", aliases)
                assert requests, name
        return taken


class HostSpecs(_Values):
    """``[vfio] host_spec``."""

    name = "host_spec"
    share = 10
    good = _HOST_SPECS

    def read(self, given: ty.Any, place: kind.Place) -> bool:
        """Read them, and look what they select."""
        specs, findings = host_spec.parse_host_specs(
            sources(given, "host_spec")
        )
        for spec in specs:
            for function in _FUNCTIONS:
                spec.selects(function)
        return expect_shown(findings)


class Expressions(kind.Kind):
    """Addresses that are regular expressions."""

    name = "regular expressions"
    share = 12

    def make(self, rng: random.Random) -> kind.Input:
        """An expression for some fields of an address."""
        fields = rng.sample(("domain", "bus", "slot", "function"), 2)
        return kind.Input(
            tuple((field, self._expression(rng)) for field in fields)
        )

    @staticmethod
    def _expression(rng: random.Random) -> str:
        found = "".join(
            rng.choice(_EXPRESSIONS) for _ in range(rng.choice((1, 1, 2, 4)))
        )
        way = rng.random()
        if way < 0.3:
            return mutations.text(rng, found)
        if way < 0.5:
            letters = "()[]{}|*+?.\\^$0123456789abfe,:<=!P-"
            return "".join(rng.choices(letters, k=rng.randint(1, 30)))
        return found

    def read(self, given: ty.Any, place: kind.Place) -> bool:
        """Read an entry with it, and match a host."""
        text = json.dumps({"vendor_id": "8086", "address": dict(given)})
        specs, findings = parse.parse_device_specs(sources([text]))
        matcher = matching.Matcher(specs, _FUNCTIONS)
        for function in _FUNCTIONS:
            matcher.winner(function)
            matcher.explain(function)
        return expect_shown(findings)


class Words(kind.Kind):
    """Addresses and requests of flavors, as somebody types them."""

    name = "addresses and extra specs"
    share = 14
    _GOOD: ty.Final = (
        *("0000:25:00.4", "10000:e1:00.0", "ffffffff:ff:1f.7"),
        *("nic:1", "fast-nic:2,nic:1", "nic : 3", "nic:999999999"),
    )

    def make(self, rng: random.Random) -> kind.Input:
        """One with mistakes in it."""
        return kind.Input(mutations.text(rng, rng.choice(self._GOOD)))

    def read(self, given: ty.Any, place: kind.Place) -> bool:
        """Read it as both."""
        try:
            found = address.PciAddress.parse(given)
        except ValueError as error:
            shown.line(str(error))
        else:
            if str(found) != given.lower():
                raise kind.Fault(f"{given!r} is taken for {found}")
            return True
        aliases, _ = alias_parse.parse_aliases(
            sources(map(json.dumps, ALIASES), "alias"), in_placement=True
        )
        return bool(flavor.parse_request(given, aliases))


class Files(kind.Kind):
    """Configuration files, by one of the commands that read them."""

    name = "configuration files"
    share = 16

    def __init__(self) -> None:
        self._good = [path.read_bytes() for path in _CONFIGURATIONS]
        self._good += [
            random_hosts.configuration(random_hosts.random_host(seed)).encode()
            for seed in range(20)
        ]

    def make(self, rng: random.Random) -> kind.Input:
        """One with mistakes in it, as text or as bytes."""
        good = rng.choice(self._good)
        way = rng.random()
        if way < 0.5:
            made = mutations.text(rng, good.decode()).encode(
                errors="surrogatepass"
            )
        elif way < 0.8:
            made = mutations.data(rng, good)
        else:
            lines = good.split(b"\n")
            for _ in range(rng.choice((1, 2, 4))):
                place = rng.randrange(len(lines))
                lines[place] = rng.choice(
                    (
                        *(
                            b"[",
                            b"[]",
                            b"]",
                            b"=",
                            b"x",
                            b" y",
                            b":z",
                            b"a=",
                            b"\xff",
                        ),
                        *(b"[pci]", b"[PCI]", b"[DEFAULT]", b"host = $host"),
                        *(b"host = ${pci.alias}", b"alias = $alias", b"= 1"),
                        *(b"device_spec = $$$", b"[vfio]\nplacement = x"),
                        lines[place] * 2,
                        lines[place].partition(b"=")[0],
                    )
                )
            made = b"\n".join(lines)
        return kind.Input(made, not _is_utf8(made))

    def is_for_a_command(self, given: ty.Any) -> bool:
        """Three of four are."""
        return bool(sum(given) % 4 < 3)

    def read(self, given: ty.Any, place: kind.Place) -> bool:
        """Look through it, check it, or explain a device by it."""
        path = place.work / "nova.conf"
        path.write_bytes(given)
        way = sum(given) % 4
        if way == 0:
            done = inside.run(
                f"--config-file={path}", "config", "check", "--offline"
            )
        elif way == 1:
            folder = place.work / "conf.d"
            folder.mkdir()
            path.rename(folder / "nova.conf")
            done = inside.run(
                *(f"--config-dir={folder}", f"--host-root={place.home}"),
                *("config", "explain", "0000:25:00.4", "-fjson"),
            )
        elif way == 2:
            done = inside.run(
                *(f"--config-file={path}", f"--host-root={place.home}"),
                *(f"--state-path={place.work}/state", "device", "list"),
            )
        else:
            return not loader.survey([str(path)]).faults
        return done.status < 2


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


class Variables(kind.Kind):
    """The environment: oslo.config's variables, and what else is looked at."""

    name = "variables"
    share = 6
    _NAMES: ty.Final = (
        *("OS_DEFAULT__HOST", "OS_PCI__DEVICE_SPEC", "OS_PCI__ALIAS"),
        *("OS_PCI__REPORT_IN_PLACEMENT", "OS_VFIO__PLACEMENT"),
        *("OS_VFIO__PROVIDER_ROOT", "OS_VFIO__HOST_SPEC", "OS_VFIO__X"),
        *("OS_DATABASE__CONNECTION", "OS_DEVICES__ENABLED_MDEV_TYPES"),
        *("OS_FILTER_SCHEDULER__ENABLED_FILTERS", "OS_PLACEMENT__TIMEOUT"),
        *("OS_PLACEMENT__AUTH_TYPE", "OS_PLACEMENT__ENDPOINT_OVERRIDE"),
        *("XDG_STATE_HOME", "HOME", "COLUMNS", "LINES", "TERM", "LANG"),
        *("OS_CLOUD", "OS_TOKEN", "PAGER", "LC_ALL", "TZ", "CLIFF_FIT_WIDTH"),
    )
    _VALUES: ty.Final = (
        *("true", "service", "embedded", "compute-1", "sqlite://", "$host"),
        *("sqlite:////nowhere/x", "mysql://a:b@c/d", "x://", "://", "%(x)s"),
        *(
            "none",
            "password",
            "http://127.0.0.1:9",
            "-1",
            "xterm",
            "/dev/null",
        ),
        json.dumps(ENTRIES[0]),
    )
    _WORDS: ty.Final = (
        ("config", "check", "--offline"),
        ("device", "list"),
        ("claim", "list"),
        ("host", "list"),
        ("inventory", "show"),
        ("--help",),
    )

    def make(self, rng: random.Random) -> kind.Input:
        """Some of them, with values that may be good."""
        found = []
        for name in rng.sample(self._NAMES, rng.choice((1, 1, 2, 4))):
            value = rng.choice(self._VALUES)
            if rng.random() < 0.6:
                value = mutations.text(rng, value)
            # No process can be given a NUL, or bytes of half a character.
            value = value.replace("\0", "").encode(errors="replace").decode()
            found.append((name, value[:9000]))
        return kind.Input((rng.choice(self._WORDS), *found))

    def read(self, given: ty.Any, place: kind.Place) -> bool:
        """Run a command with them."""
        words, found = ("device", "list"), dict[str, str]()
        for part in given:
            if part in self._WORDS:
                words = part
            else:
                found.update([part])
        conf = place.work / "nova.conf"
        conf.write_text(f"[pci]\ndevice_spec = {json.dumps(ENTRIES[0])}\n")
        before = dict(os.environ)
        os.environ.update(found)
        options = [f"--config-file={conf}", f"--host-root={place.home}"]
        if "XDG_STATE_HOME" not in found and "HOME" not in found:
            options.append(f"--state-path={place.work}/state")
        try:
            # Who is root has a state path that no variable moves.
            return inside.run(*options, *words).status < 2
        finally:
            os.environ.clear()
            os.environ.update(before)


class CommandLines(kind.Kind):
    """What is typed."""

    name = "command lines"
    share = 16
    _WORDS: ty.Final = (
        *("host", "device", "claim", "config", "inventory", "guest"),
        *("explain", "list", "show", "check", "sync", "create", "delete"),
        *("xml", "qemu", "diff", "report", "plan", "restore", "allow"),
        *("--dry-run", "-f", "json", "yaml", "csv", "value", "table", "shell"),
        *("-c", "address", "--sort-column", "--instance", "--alias"),
        *("--numa", "0,1", "--numa-policy", "legacy", "--wait", "0.1"),
        *("--address", "0000:25:00.4", "--only", "--accept", "--code"),
        *("VFIO512", "--reason", "because", "--offline", "--force", "-v"),
        *("-q", "-vv", "--max-width", "20", "--fit-width", "--noindent"),
        *("11111111-1111-4111-8111-111111111111", "nic:1", "--help", "-h"),
        *("mdev", "types", "mtty-1", "--uuid", "--parent", "mtty"),
        *("--attribute", "assign_adapter=5", "--strategy", "spread"),
        *("--print-empty", "--quote", "all", "--prefix", "p", "--version"),
        *(
            "complete",
            "help",
            "--class",
            "network",
            "--",
            "-",
            "--sort-ascending",
        ),
    )
    _STARTS: ty.Final = (
        *(
            ("host", "list"),
            ("host", "show"),
            ("device", "list"),
            ("claim", "list"),
        ),
        *(("claim", "create"), ("device", "sync", "--dry-run"), ("explain",)),
        *(
            ("config", "check", "--offline"),
            ("guest", "qemu"),
            ("host", "plan"),
        ),
        *(("device", "allow"), ("inventory", "show"), ("claim", "delete")),
        *(("mdev", "types"), ("mdev", "list"), ("mdev", "delete")),
        ("mdev", "create", "mtty-1"),
    )

    def make(self, rng: random.Random) -> kind.Input:
        """Words in some order, some of them odd."""
        words = [*rng.choice(self._STARTS)] if rng.random() < 0.7 else []
        for _ in range(rng.choice((0, 1, 2, 3, 5, 9))):
            word = rng.choice(self._WORDS)
            if rng.random() < 0.25:
                word = mutations.text(rng, word)
            # No process can be given a NUL.
            words.append(word.replace("\0", "")[:9000])
        return kind.Input(tuple(words))

    def read(self, given: ty.Any, place: kind.Place) -> bool:
        """Type it. What writes has its state in a folder of its own."""
        host = place.work / "host"
        host.mkdir()
        conf = place.work / "nova.conf"
        conf.write_text(f"[pci]\ndevice_spec = {json.dumps(ENTRIES[0])}\n")
        done = inside.run(
            *(f"--config-file={conf}", f"--host-root={host}"),
            *(f"--state-path={place.work}/state", *given),
        )
        return done.status < 2


KINDS: ty.Final[tuple[kind.Kind, ...]] = (
    DeviceSpecs(),
    Aliases(),
    HostSpecs(),
    Expressions(),
    Words(),
    Files(),
    Variables(),
    CommandLines(),
)
