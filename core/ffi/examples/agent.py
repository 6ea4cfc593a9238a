"""An agent in Python: one check of each target that is named on the command line.

    PROBITY_LIBRARY=target/release/libprobity.so python3 agent.py http_2xx http://127.0.0.1:8080/
"""

import ctypes as c
import os
import sys
import threading


class Text(c.Structure):
    # Not c_char_p, which reads up to a zero byte that is not there.
    _fields_ = [("data", c.c_void_p), ("length", c.c_size_t)]

    def __str__(self):
        return c.string_at(self.data, self.length).decode()


class Buffer(c.Structure):
    _fields_ = [("data", c.c_char_p), ("capacity", c.c_size_t), ("length", c.c_size_t)]


class Handle(c.Structure):
    _fields_ = [("bits", c.c_uint64)]


class DriverConfig(c.Structure):
    _fields_ = [("size", c.c_size_t)]
    _fields_ += [(name, c.c_uint32) for name in ("workers", "in_flight", "reserve")]
    _fields_ += [(name, c.c_uint32) for name in ("starts", "burst", "reserved")]
    _fields_ += [("on_notice", c.c_void_p), ("context", c.c_void_p)]


class Target(c.Structure):
    _fields_ = [("size", c.c_size_t), ("config", Handle)]
    _fields_ += [(name, Text) for name in ("module", "target", "hostname")]
    _fields_ += [(name, c.c_uint64) for name in ("id", "interval", "timeout", "initial_delay")]
    _fields_ += [(name, c.c_uint32) for name in ("success", "failure", "kind", "group")]


class Report(c.Structure):  # its beginning: the rest is not needed here
    _fields_ = [("size", c.c_size_t), ("target", c.c_uint64)]
    _fields_ += [("outcome", c.c_uint32), ("reason", c.c_uint32), ("detail", Text)]


Done = c.CFUNCTYPE(None, c.c_void_p, c.POINTER(Report))
probity = c.CDLL(os.environ.get("PROBITY_LIBRARY", "libprobity.so"))
probity.probity_result_text.restype = Text
probity.probity_reason_name.restype = Text


def text(value):
    value = c.create_string_buffer(value.encode())
    it = Text(c.addressof(value), len(value) - 1)
    it.owner = value  # lives as long as what points to it
    return it


def check(result, said=""):
    if result != 0:
        sys.exit(f"{probity.probity_result_text(result)}: {said}")


def main(module, *targets):
    said = c.create_string_buffer(512)
    error = Buffer(c.cast(said, c.c_char_p), len(said), 0)
    config, driver = Handle(), Handle()
    check(probity.probity_config_parse(Text(), Text(), 0, c.byref(config), None))
    start = DriverConfig(size=c.sizeof(DriverConfig), workers=1)
    check(probity.probity_driver_start(c.byref(start), c.byref(driver), c.byref(error)), said.value)
    failed = 0
    for name in targets:
        result, done = [], threading.Event()

        @Done
        def on_done(_, report):  # on a thread of the library
            report = report.contents
            reason = str(probity.probity_reason_name(report.reason))
            result.append((report.outcome, reason, str(report.detail)))
            done.set()

        words = text(module), text(name)
        target = Target(size=c.sizeof(Target), config=config, module=words[0], target=words[1])
        asked = probity.probity_driver_run(driver, c.byref(target), on_done, None, c.byref(error))
        check(asked, said.value.decode())
        done.wait()
        outcome, reason, detail = result[0]
        print(("success", "warning", "failure", "unknown")[outcome], name, reason, detail)
        failed += outcome > 1
    check(probity.probity_driver_free(driver))
    check(probity.probity_config_free(config))
    return failed > 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
