"""Rules on what a module may import, and on how pure the pure layers are.

core ◄ codec ◄ adapters; core, codec ◄ flow; core, codec ◄ edge; console ► flow, core; the command line ties them.
"""

from __future__ import annotations

import ast
import sys

from tests.tidy.tree import PURE, Module, Tree, Violation, at, last_name

# What each layer may import of ours, besides itself. The package `gateway` itself holds nothing but its name.
ARROWS: dict[str, set[str]] = {
    "core": set(),
    "codec": {"core"},
    "adapters": {"core", "codec"},
    "flow": {"core", "codec"},
    "edge": {"core", "codec"},
    "console": {"core", "flow"},
    "sandbox": {"core", "codec", "adapters", "edge"},
    "cli": {"core", "codec", "adapters", "flow", "edge", "console", "sandbox"},
    "main": {"cli"},
    "package": set(),
}

# Where the ports are declared; the ledger's is long enough for a module of its own.
PORTS = ("gateway/core/ports.py", "gateway/core/ledger.py")

# Third-party libraries: where each may be imported, and why there. What is not named here may be imported nowhere.
LIBRARIES: dict[str, dict[str, str]] = {
    "msgspec": {"gateway/": "messages, configuration and rows are its types", "adapters/": "layouts are values"},
    "lxml": {
        "gateway/codec/xml.py": "the one hardened reader and the schema check",
        "gateway/edge/crypto": "the XMLDSig verifier and the schema check",
        "gateway/sandbox/": "the banks write and read documents by their own code",
    },
    "cryptography": {
        "gateway/edge/atrest.py": "account and id numbers are encrypted at rest",
        "gateway/edge/crypto": "keys and signing engines",
        "gateway/edge/pki": "the throwaway development PKI",
        "gateway/sandbox/": "the banks hold keys of their own",
    },
    "asn1crypto": {
        "gateway/edge/crypto": "CMS is read by it; cryptography has no verify",
        "gateway/edge/pki": "the throwaway development PKI",
        "gateway/sandbox/": "the banks verify our seal themselves",
    },
    "gmssl_pyx": {"gateway/edge/crypto/sm2.py": "the arithmetic of SM2"},
    "pkcs11": {"gateway/edge/crypto/device.py": "keys in a device"},
    "sqlalchemy": {"gateway/edge/ledger": "the ledger"},
    "alembic": {"gateway/edge/ledger": "the ledger's migrations"},
    "asyncpg": {"gateway/edge/ledger": "COPY, inside the ledger's transactions"},
    "aio_pika": {
        "gateway/edge/bus": "the bus on RabbitMQ",
        "gateway/edge/wires/amqp.py": "the wire of banks reached over AMQP",
        "gateway/sandbox/": "a bank reached over AMQP",
    },
    "asyncssh": {"gateway/edge/wires/sftp.py": "the SFTP wire", "gateway/sandbox/": "the banks' SFTP servers"},
    "aiohttp": {
        "gateway/edge/wires/https.py": "the HTTPS wire",
        "gateway/edge/rabbit_admin.py": "the broker's management API",
        "gateway/edge/crypto/remote.py": "keys behind a signing service",
        "gateway/console/": "the operations pages",
        "gateway/sandbox/": "a bank reached over HTTPS",
    },
    "structlog": {
        "gateway/edge/": "logging is set up at the edge, redaction included",
        "gateway/flow/": "a stage says what it refused, left or took up again; the edge decides where that goes",
        "gateway/cli/serve.py": "the process says when it starts and stops",
    },
    "cyclopts": {"gateway/cli/": "the command line"},
    "rich": {"gateway/cli/": "progress and tables"},
}

# Standard modules that reach outside or differ from run to run: not in the pure layers, and not in flow, which the
# simulation runs on a virtual clock.
IMPURE_IMPORTS = {
    *("asyncio", "ftplib", "glob", "http", "logging", "multiprocessing", "os", "random", "secrets", "select"),
    *("shutil", "signal", "smtplib", "socket", "sqlite3", "ssl", "subprocess", "sys", "tempfile", "threading", "time"),
    *("urllib.request", "pathlib.Path"),
}
FLOW_MAY_IMPORT = {"asyncio"}
IMPURE_CALLS = {"open", "input", "print", "now", "utcnow", "today", "uuid1", "uuid4", "urandom", "monotonic", "getenv"}


def cycles(tree: Tree) -> list[Violation]:
    """Modules that import each other, directly or around."""
    edges = {
        name: {found.name for _, item in module.imports if (found := tree.ours(item))} - {name}
        for name, module in tree.names.items()
    }

    def reachable(start: str) -> set[str]:
        seen: set[str] = set()
        todo = [*edges[start]]
        while todo:
            name = todo.pop()
            if name not in seen:
                seen.add(name)
                todo += edges[name]
        return seen

    reach = {name: reachable(name) for name in edges}
    cycles = {
        tuple(sorted(other for other in reach[name] if name in reach[other])) for name in edges if name in reach[name]
    }
    return [f"import cycle: {' ↔ '.join(cycle)}" for cycle in sorted(cycles)]


def arrows(tree: Tree) -> list[Violation]:
    """Imports against the arrows between the layers; adapters that import each other; modules in no layer."""
    found = []
    for module in tree.product():
        layer = module.layer or ""
        if layer not in ARROWS:
            found.append(at(module, 1, "stands in no layer"))
            continue
        for line, imported in module.imports:
            other = tree.ours(imported)
            if other is None or other.layer == "package":
                continue
            if other.layer != layer and other.layer not in ARROWS[layer]:
                found.append(at(module, line, f"{layer} may not import {other.layer} ({imported})"))
            elif layer == other.layer == "adapters" and not _same_adapter(module, other):
                found.append(at(module, line, f"an adapter imports itself and adapters.standards only ({imported})"))
    return found


def _same_adapter(module: Module, other: Module) -> bool:
    mine, theirs = (item.name.split(".")[1:2] for item in (module, other))
    return not mine or mine == theirs or theirs in ([], ["standards"])


def libraries(tree: Tree) -> list[Violation]:
    """Third-party imports outside the places that LIBRARIES names."""
    found = []
    for module in tree.product():
        for line, imported in module.imports:
            top = imported.partition(".")[0]
            if top in sys.stdlib_module_names or top in ("gateway", "adapters"):
                continue
            if not any(module.path.startswith(place) for place in LIBRARIES.get(top, {})):
                found.append(
                    at(module, line, f"{top} may not be imported here; LIBRARIES in tests/tidy/imports.py says where")
                )
    return found


def impure(tree: Tree) -> list[Violation]:
    """Clock, chance, environment, files, loggers in the pure layers and in flow, which reaches them through ports."""
    found = []
    for module in tree.layers(*PURE, "flow"):
        allowed = FLOW_MAY_IMPORT if module.layer == "flow" else set()
        for line, imported in module.imports:
            parts = imported.split(".")
            hits = {".".join(parts[:count]) for count in (1, 2)} & (IMPURE_IMPORTS - allowed)
            found += [at(module, line, f"{hit} is not for {module.layer}") for hit in sorted(hits)]
        for node, name in module.calls():
            if name in IMPURE_CALLS and not _through_a_port(module, node):
                found.append(at(module, node.lineno, f"{name}() is not for {module.layer}"))
    return found


def _through_a_port(module: Module, node: ast.Call) -> bool:
    """In flow, `clock.now()` and the like are the ports themselves; `datetime.now()` is not."""
    if module.layer != "flow" or not isinstance(node.func, ast.Attribute):
        return False
    return last_name(node.func.value) not in ("datetime", "date", "time", "uuid", "os")


def asynchronous(tree: Tree) -> list[Violation]:
    """`async` and `await` in the pure layers; only the Protocols of the ports may declare coroutines."""
    kinds = (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await)
    found = []
    for module in tree.layers(*PURE):
        declared = set()
        if module.path in PORTS:
            protocols = [
                node
                for node in ast.walk(module.tree)
                if isinstance(node, ast.ClassDef)
                and any(
                    last_name(base.value if isinstance(base, ast.Subscript) else base) == "Protocol"
                    for base in node.bases
                )
            ]
            declared = {id(item) for protocol in protocols for item in protocol.body}
        for node in ast.walk(module.tree):
            if isinstance(node, kinds) and id(node) not in declared:
                found.append(at(module, node.lineno, f"{type(node).__name__} in {module.layer}"))
    return found


def floats(tree: Tree) -> list[Violation]:
    """Float literals, `float`, and true division in the layers that hold money; the Clock port measures time."""
    found = []
    for module in tree.layers(*PURE):
        clock = _clock_port(module)
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, float):
                found.append(at(module, node.lineno, f"float literal {node.value}"))
            elif isinstance(node, ast.Name) and node.id == "float" and id(node) not in clock:
                found.append(at(module, node.lineno, "float"))
            elif isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
                found.append(at(module, node.lineno, "true division gives a float: use // and place the rest"))
    return found


def _clock_port(module: Module) -> set[int]:
    if module.path != "gateway/core/ports.py":
        return set()
    classes = [node for node in module.tree.body if isinstance(node, ast.ClassDef) and node.name == "Clock"]
    return {id(inner) for node in classes for inner in ast.walk(node)}
