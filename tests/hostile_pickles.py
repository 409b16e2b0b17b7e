"""Pickles that attack whoever loads them. `{path}` is a folder that those make which can."""

from __future__ import annotations

import struct


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def called(module: str, name: str, arguments: bytes) -> bytes:
    """What calls module.name(*arguments), by GLOBAL."""
    return f"c{module}\n{name}\n".encode() + b"(" + arguments + b"tR"


def named(module: str, name: str) -> bytes:
    """The same name by STACK_GLOBAL, which takes dotted ones."""
    return text(module) + text(name) + b"\x93"


EVAL = "__import__('os').mkdir('{path}')"
# Run by pickle.loads, each makes the folder.
FIRING: dict[str, tuple[bytes, str]] = {
    "os.mkdir, protocol 0": (b"cos\nmkdir\n(V{path}\ntR.", "os.mkdir"),
    "os.mkdir, protocol 1": (b"cos\nmkdir\n(" + b"V{path}\n" + b"tq\x00Rq\x01.", "os.mkdir"),
    "posix.mkdir, protocol 2": (b"\x80\x02" + called("posix", "mkdir", b"V{path}\n") + b".", "posix.mkdir"),
    "os.makedirs, protocol 3": (b"\x80\x03cos\nmakedirs\nV{path}\n\x85R.", "os.makedirs"),
    "os.mkdir, protocol 4": (b"\x80\x04" + named("os", "mkdir") + b"V{path}\n\x85R.", "os.mkdir"),
    "os.mkdir, protocol 5": (b"\x80\x05" + named("os", "mkdir") + b"V{path}\n\x85R.", "os.mkdir"),
    "a dotted name": (b"\x80\x04" + named("shutil", "os.mkdir") + b"V{path}\n\x85R.", "shutil.os.mkdir"),
    "eval": (called("builtins", "eval", b"V" + EVAL.encode() + b"\n") + b".", "builtins.eval"),
    "exec": (called("__builtin__", "exec", b"V" + EVAL.encode() + b"\n") + b".", "__builtin__.exec"),
    "INST": (b"(V{path}\nios\nmkdir\n.", "INST"),
    "OBJ": (b"(cpathlib\nPath\nV{path}\no0cos\nmkdir\nV{path}\n\x85R.", "pathlib.Path"),
    "within states": (b"\x80\x04}K\x00cos\nmkdir\nV{path}\n\x85Rs.", "os.mkdir"),
    "before states": (b"\x80\x04cos\nmkdir\nV{path}\n\x85R0}K\x00Ns.", "os.mkdir"),
    "as an optimizer": (b"\x80\x04}K\x00Nscos\nmkdir\nV{path}\n\x85R\x86.", "os.mkdir"),
    "through map": (
        called("builtins", "list", called("builtins", "map", b"cos\nmkdir\n(V{path}\nl")) + b".",
        "builtins.list",
    ),
    "through partial": (called("functools", "partial", b"cos\nmkdir\nV{path}\n") + b"(tR.", "functools.partial"),
    "through getattr": (
        called("builtins", "getattr", called("builtins", "__import__", b"Vos\n") + b"Vmkdir\n") + b"(V{path}\ntR.",
        "builtins.getattr",
    ),
    "through methodcaller": (
        called("operator", "methodcaller", b"Vmkdir\n") + b"(" + called("pathlib", "Path", b"V{path}\n") + b"tR.",
        "operator.methodcaller",
    ),
    "through a second pickle": (
        called("_pickle", "loads", b"Bsize" + b"cos\nmkdir\n(V{path}\ntR.") + b".",
        "_pickle.loads",
    ),
}  # fmt: skip


def firing(name: str, path: str) -> bytes:
    inner = b"cos\nmkdir\n(V{path}\ntR."
    content = FIRING[name][0]
    if b"Bsize" in content:
        size = len(inner) - len(b"{path}") + len(path.encode())
        content = content.replace(b"Bsize", b"B" + struct.pack("<I", size))
    return content.replace(b"{path}", path.encode())


NDARRAY = b"cmxnet.ndarray.ndarray\nNDArray\n"
SGD = b"cmxnet.optimizer.optimizer\nSGD\n"
ARRAY = struct.pack("<Iiiqiii", 0xF993FAC9, 0, 1, 1, 1, 0, 0) + bytes(4)
HANDLE = b"}Vhandle\nC" + bytes([len(ARRAY)]) + ARRAY + b"s"
DTYPE = b"cnumpy\ndtype\n(Vf4\nI00\nI01\ntR"
EMPTY = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tC\x01btR"
LAUGHS = 200


def laughs(empty: bytes, step: bytes) -> bytes:
    """A container of ten that are each ten of the one before, and so on."""
    made = b"}K\x00(" + empty + b"q\x00"
    for k in range(LAUGHS):
        made += b"(" + (b"h" + bytes([k])) * 10 + step + b"q" + bytes([k + 1])
    return made + b"ls."


LARGE = b"B" + struct.pack("<I", 40_032) + ARRAY[:12] + struct.pack("<q3i", 10_000, 1, 0, 0) + bytes(40_000)
AGAIN = NDARRAY + b"(NtR}Vhandle\nh\x00sb"

# Refused before anything is made of them. Several would take all memory, or all time.
OTHERS: dict[str, tuple[bytes, str]] = {
    "no bytes": (b"", "file ends"),
    "no value": (b".", "more than one value, or none"),
    "two values": (b"NN.", "more than one value"),
    "an open mark": (b"(N.", "more than one value"),
    "no end": (b"}", "file ends"),
    "bytes behind the end": (b"}.}", "goes on for 1 bytes"),
    "a pickle behind the end": (b"}.cos\nmkdir\n(Vx\ntR.", "goes on"),
    "a later protocol": (b"\x80\x06}.", "protocol 6"),
    "no opcode": (b"\xff.", "refused"),
    "a persistent id": (b"Pid\n.", "PERSID"),
    "a persistent id of a value": (b"NQ.", "BINPERSID"),
    "the extension registry, 1": (b"\x82\x01.", "EXT1"),
    "the extension registry, 2": (b"\x83\x01\x00.", "EXT2"),
    "the extension registry, 4": (b"\x84\x01\x00\x00\x00.", "EXT4"),
    "NEWOBJ_EX": (SGD + b")}\x92.", "NEWOBJ_EX"),
    "a buffer beside the file": (b"\x97.", "NEXT_BUFFER"),
    "a set": (b"\x8f.", "EMPTY_SET"),
    "POP of nothing": (b"0.", "POP"),
    "BUILD of nothing": (b"}b.", "not there"),
    "APPEND to nothing": (b"Na.", "list that is not there"),
    "SETITEM to a list": (b"]NNs.", "dict that is not there"),
    "TUPLE without a mark": (b"Nt.", "mark that is not there"),
    "a memo of nothing": (b"q\x00.", "not there"),
    "a memo that is not there": (b"h\x07.", "value 7"),
    "calling a value": (b"K\x01)R.", "type int"),
    "calling with no tuple": (NDARRAY + b"NR.", "calls a value"),
    "calling a class of MXNet's": (
        SGD + b"(Vlr\nG?\xf0\0\0\0\0\0\0tR.",
        "mxnet.optimizer.optimizer.SGD is called",
    ),
    "calling a function of MXNet's": (b"cmxnet.optimizer\nregister\n(NtR.", "mxnet.optimizer.register is called"),
    "through a module of MXNet's": (named("mxnet.optimizer", "os.system") + b")R.", "mxnet.optimizer.os.system"),
    "another module of MXNet's": (b"cmxnet.optimizers\nSGD\n)\x81.", "mxnet.optimizers.SGD"),
    "MXNet's Symbol": (b"cmxnet.symbol.symbol\nSymbol\n(NtR.", "mxnet.symbol.symbol.Symbol"),
    "an optimizer with arguments": (SGD + b"K\x01\x85\x81.", "a new mxnet.optimizer.optimizer.SGD"),
    "a new array": (NDARRAY + b")\x81.", "a new mxnet.ndarray.ndarray.NDArray"),
    "a class as a value": (b"}K\x00" + SGD + b"s.", "mxnet.optimizer.optimizer.SGD stands"),
    "BUILD of a class": (SGD + b"}Vlr\nK\x01sb.", "not there"),
    "an array of another handle": (NDARRAY + b"(NtR}Vhandle\nK\x07sb.", "handle of an NDArray is of type int"),
    "an array with attributes": (NDARRAY + b"(NtR}V__class__\nNsb.", "a state of type dict"),
    "an array built twice": (NDARRAY + b"(NtR" + 2 * (HANDLE + b"b") + b".", "given to an object (done)"),
    "an array never built": (b"}K\x00" + NDARRAY + b"(NtRs.", "NDArray stands"),
    "an array of damaged bytes": (NDARRAY + b"(NtR}Vhandle\nC\x04abcdsb.", "no array begins with"),
    "an array with more behind it": (NDARRAY + b"(NtR}Vhandle\nC\x25" + ARRAY + b"!sb.", "go on for 1"),
    "an optimizer built twice": (SGD + b")\x81}b}b.", "given to an object (record)"),
    "an attribute without a name": (SGD + b")\x81}K\x01Nsb.", "attribute whose name is no string"),
    "an optimizer with slots": (SGD + b")\x81}}\x86b.", "a state of type tuple"),
    "an object of another class": (
        b"ccopyreg\n_reconstructor\n(cos\n_wrap_close\nc__builtin__\nobject\nNtR.",
        "os._wrap_close",
    ),
    "an object made from another": (
        b"ccopyreg\n_reconstructor\n(" + SGD + SGD + b"NtR.",
        "(Name, Name, NoneType)",
    ),
    "copyreg's other functions": (b"ccopyreg\n__newobj__\n(" + SGD + b"tR.", "copyreg.__newobj__"),
    "a terabyte of zeros": (
        called("builtins", "bytearray", b"\x8a\x06\0\0\0\0\0\1") + b".",
        "bytearray is called with (int)",
    ),
    "a terabyte of bytes": (
        called("builtins", "bytes", b"\x8a\x06\0\0\0\0\0\1") + b".",
        "bytes is called with (int)",
    ),
    "bytes said to be there": (b"\x8e" + struct.pack("<Q", 2**62), "and the file ends after 0"),
    "text said to be there": (b"\x8d" + struct.pack("<Q", 2**62), "and the file ends after 0"),
    "bytes of a negative number": (b"T" + struct.pack("<i", -1) + b".", "length is -1"),
    "a codec": (called("_codecs", "encode", b"Vx\nVrot13\n") + b".", "_codecs.encode is called with (str, str)"),
    "a codec that unpacks": (called("_codecs", "decode", b"C\x01xVzlib\n") + b".", "_codecs.decode"),
    "bytes that are none": (called("_codecs", "encode", b"V\\u0100\nVlatin1\n") + b".", "latin-1"),
    "an integer without end": (b"I" + b"9" * 100_000 + b"\n.", "no integer"),
    "an integer of many bytes": (b"\x8b" + struct.pack("<i", 70_000) + b"\1" * 70_000 + b".", "64 bits"),
    "a string with escapes": (b"S'\\x41'\n.", "no plain string"),
    "a list as a key": (b"}]Ns.", "type list"),
    "a tuple as a key": (b"})Ns.", "type tuple"),
    "an array as a key": (b"}" + NDARRAY + b"(NtR" + HANDLE + b"bNs.", "type Unfinished"),
    "a key without a value": (b"(K\x00d.", "without a value"),
    "objects of NumPy": (b"cnumpy\ndtype\n(VO8\nI00\nI01\ntR.", "numpy.dtype is called"),
    "a dtype as text": (b"cnumpy\ndtype\n(Vf4,(9999,9999,9999)O\nI00\nI01\ntR.", "numpy.dtype is called"),
    "an array of lists": (EMPTY + b"(K\x01(K\x01t" + DTYPE + b"I00\n(K\x01ltb.", "a state of type tuple"),
    "an array larger than memory": (
        EMPTY + b"(K\x01(J\xff\xff\xff\x7fJ\xff\xff\xff\x7ft" + DTYPE + b"I00\nC\x00tb.",
        "no memory",
    ),
    "an array larger than its bytes": (
        EMPTY + b"(K\x01(J\xff\xff\xff\x7ft" + DTYPE + b"I00\nC\x04abcdtb.",
        "has 4 bytes",
    ),
    "an array of another shape": (
        EMPTY + b"(K\x01(J\xff\xff\xff\xfft" + DTYPE + b"I00\nC\x00tb.",
        "a shape that is none",
    ),
    "an array of another class": (
        b"cnumpy.core.multiarray\n_reconstruct\n(cbuiltins\nobject\n(K\x00tC\x01btR.",
        "_reconstruct is called",
    ),
    "NumPy's load": (called("numpy", "load", b"Vx.npy\n") + b".", "numpy.load"),
    "NumPy's fromfile": (
        called("numpy.core.multiarray", "fromfile", b"Vx\n") + b".",
        "numpy.core.multiarray.fromfile",
    ),
    "a list within itself": (b"}K\x00]q\x00h\x00as.", "refer to each other"),
    "a dict within itself": (b"}q\x00K\x00h\x00s.", "refer to each other"),
    "tuples without end": (b"}K\x00" + b")" + b"\x85" * 20_000 + b"s.", "nested more than"),
    "lists of lists of lists": (laughs(b"]", b"l"), "refer to each other too often"),
    "tuples of tuples of tuples": (laughs(b")", b"t"), "refer to each other too often"),
    "one array again and again": (
        b"}(" + LARGE + b"q\x00N" + b"".join(b"K%c" % k + AGAIN for k in range(99)) + b"u.",
        "again and again",
    ),
    "pairs again and again": (
        b"((" + b"(K\x01K\x02t" * 5000 + b"lq\x00" + b"ccollections\nOrderedDict\n(h\x00tR" * 99 + b"l.",
        "again and again",
    ),
    "names that write on the screen": (named("os\x1b[2J", "sys\ntem") + b".", r"os\x1b[2J.sys\ntem"),
    "a name without end": (b"c" + b"o" * 100_000 + b"\nx\n.", "is refused"),
}  # fmt: skip
