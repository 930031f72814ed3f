"""Links: how a host reaches a design's registers and memory."""

import binascii
import os
import random
from importlib import import_module
from typing import Any, Protocol

from gen.errors import UserError
from rtl.commands import DONE, FRAME_BYTES, HEADER_BYTES, Operation
from rtl.frames import CHECK_BYTES, END, ESCAPE, ESCAPED_END, ESCAPED_ESCAPE

__all__ = ["Link", "PynqLink", "SerialLink", "decode", "encode"]

_CHUNK = FRAME_BYTES - HEADER_BYTES - CHECK_BYTES


class Link(Protocol):
    """Registers by byte offset, memory by address."""

    def read_register(self, offset: int) -> int: ...

    def write_register(self, offset: int, value: int) -> None: ...

    def read(self, address: int, count: int) -> bytes: ...

    def write(self, address: int, data: bytes) -> None: ...


def encode(body: bytes) -> bytes:
    """A frame: SLIP around the body and its CRC-32."""
    whole = body + binascii.crc32(body).to_bytes(CHECK_BYTES, "little")
    escapes = {END: bytes([ESCAPE, ESCAPED_END]), ESCAPE: bytes([ESCAPE, ESCAPED_ESCAPE])}
    inner = b"".join(escapes.get(byte, bytes([byte])) for byte in whole)
    return bytes([END, *inner, END])


def decode(inner: bytes) -> bytes | None:
    """The body of what lay between two ENDs, or None if it was damaged."""
    whole, escaped = bytearray(), False
    plain = {ESCAPED_END: END, ESCAPED_ESCAPE: ESCAPE}
    for byte in inner:
        if escaped and byte not in plain:
            return None
        if byte == ESCAPE and not escaped:
            escaped = True
            continue
        whole.append(plain[byte] if escaped else byte)
        escaped = False
    body, check = bytes(whole[:-CHECK_BYTES]), whole[-CHECK_BYTES:]
    if escaped or len(body) < 2 or binascii.crc32(body) != int.from_bytes(check, "little"):
        return None
    return body


class SerialLink:
    """Frames over a serial port: each is repeated until a reply with its number comes.

    Parameters
    ----------
    port
        What pyserial opens: a device, a pseudo-terminal or a URL.
    baud
        Bits a second.
    timeout
        Seconds that a reply may take.
    attempts
        How often a request is sent, at most.

    Raises
    ------
    UserError
        If the port cannot be opened, or nothing answers there.
    """

    def __init__(self, port: str, *, baud: int, timeout: float = 1.0, attempts: int = 40):
        try:
            serial: Any = import_module("serial")
        except ImportError as error:
            raise UserError("pyserial is missing: pip install pyserial") from error
        self._name, self._attempts = port, attempts
        self._lost = (serial.SerialException, OSError)
        self._sequence = random.Random(os.urandom(8)).randrange(256)
        self.repeats = 0
        """Requests that were sent again."""
        try:
            self._port = serial.serial_for_url(port, baudrate=baud, timeout=timeout)
        except (*self._lost, ValueError) as error:
            raise UserError(f"cannot open the serial port '{port}': {error}") from error

    def close(self) -> None:
        self._port.close()

    def _request(self, operation: int, address: int, data: bytes = b"") -> bytes:
        """The data of the reply.

        Raises
        ------
        UserError
            If the port is gone, nothing answers, or the request is refused.
        """
        self._sequence = (self._sequence + 1) % 256
        header = bytes([self._sequence, operation]) + address.to_bytes(4, "little")
        frame = encode(header + data)
        try:
            for _ in range(self._attempts):
                self._port.write(frame)
                reply = self._reply()
                if reply is not None:
                    if reply[1] != DONE:
                        raise UserError(f"the design at '{self._name}' refused address {address}")
                    return reply[2:]
                self.repeats += 1
        except self._lost as error:
            raise UserError(f"the serial port '{self._name}' is gone: {error}") from error
        raise UserError(
            f"nothing answers at '{self._name}' after {self._attempts} attempts; "
            "is the board configured, and is this its port?"
        )

    def _reply(self) -> bytes | None:
        """The next whole reply with our number; None if the line falls silent before."""
        while inner := self._port.read_until(bytes([END])):
            if not inner.endswith(bytes([END])):
                return None
            body = decode(inner[:-1])
            if body is not None and body[0] == self._sequence:
                return body
            if body is None and len(inner) > 1:
                self._port.reset_input_buffer()
                return None
        return None

    def read_register(self, offset: int) -> int:
        return int.from_bytes(self._request(Operation.READ_REGISTER, offset), "little")

    def write_register(self, offset: int, value: int) -> None:
        self._request(Operation.WRITE_REGISTER, offset, value.to_bytes(4, "little"))

    def read(self, address: int, count: int) -> bytes:
        def one(at: int, size: int) -> bytes:
            return self._request(Operation.READ_MEMORY, at, bytes([size]))

        return b"".join(
            one(address + at, min(_CHUNK, count - at)) for at in range(0, count, _CHUNK)
        )

    def write(self, address: int, data: bytes) -> None:
        for at in range(0, len(data), _CHUNK):
            self._request(Operation.WRITE_MEMORY, address + at, data[at : at + _CHUNK])


class PynqLink:
    """Registers and a contiguous buffer of the processor's memory, by PYNQ.

    Parameters
    ----------
    overlay
        The bitstream's file, or a PYNQ overlay that is loaded already.
    size
        Bytes of memory that the design needs.
    name
        The accelerator's name in the block design.
    """

    def __init__(self, overlay: Any, size: int, *, name: str = "accelerator_0"):
        try:
            pynq: Any = import_module("pynq")
        except ImportError as error:
            raise UserError("pynq is missing: run this on a PYNQ board") from error
        loaded = pynq.Overlay(overlay) if isinstance(overlay, str) else overlay
        self._registers = getattr(loaded, name).mmio
        self._buffer = pynq.allocate(shape=(size,), dtype="u1")
        self.base = int(self._buffer.physical_address)
        """Where the buffer lies for the design."""

    def read_register(self, offset: int) -> int:
        return int(self._registers.read(offset))

    def write_register(self, offset: int, value: int) -> None:
        self._registers.write(offset, value)

    def read(self, address: int, count: int) -> bytes:
        self._buffer.invalidate()
        at = address - self.base
        return bytes(self._buffer[at : at + count])

    def write(self, address: int, data: bytes) -> None:
        at = address - self.base
        self._buffer[at : at + len(data)] = bytearray(data)
        self._buffer.flush()
