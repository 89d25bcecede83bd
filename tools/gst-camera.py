#!/usr/bin/python3
"""Serves video files as endless RTSP cameras with GStreamer's server: a sender that shares no line of code with ours.

    tools/gst-camera.py 8554 gate=clip.mp4 roof=clip.h265 [--auth USER:PASSWORD] [--drop 0.01] [--count 50] [--tls both.pem]
                        [--metadata FOLDER] [--reports FILE]

Every access unit of a file is read once and pushed in real time, for ever, with timestamps that go on over the end of the file; nothing is
transcoded. Video may be H.264 or H.265, sound AAC, Opus, or G.711 of either law. Each client gets its file from the start. With --count N
the first file is served N times, as /c0 to /cN-1. With --drop P each RTP packet is lost with that probability before it is sent, so over
TCP too. With --metadata FOLDER each mount also sends the files of FOLDER, by name, as ONVIF metadata: five documents a second. With
--reports FILE the newest receiver report of each client is written there every half second, one JSON object on a line. Prints "ready" and
the URLs; stops at SIGINT and SIGTERM.

Needs Debian's packages python3-gi gir1.2-gst-rtsp-server-1.0 gir1.2-gst-plugins-base-1.0 gstreamer1.0-plugins-{base,good,bad}.
"""

import argparse
import heapq
import json
import pathlib
import signal
import struct
import sys
import threading

try:
    import gi
    gi.require_version("Gst", "1.0")
    gi.require_version("GstApp", "1.0")
    gi.require_version("GstRtsp", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import Gio, GLib, Gst, GstApp, GstRtsp, GstRtspServer  # noqa: F401 (GstApp gives appsink its methods)
except (ImportError, ValueError) as missing:
    sys.exit(f"gst-camera: {missing}; install python3-gi gir1.2-gst-rtsp-server-1.0 gir1.2-gst-plugins-base-1.0 and run with /usr/bin/python3")

# How each kind of stream is read from a file, and how it is cut into RTP packets ({} is a free payload type).
KINDS = {
    "video/x-h264": ("h264parse", "video/x-h264,stream-format=byte-stream,alignment=au", "h264parse ! rtph264pay config-interval=-1 pt={}"),
    "video/x-h265": ("h265parse", "video/x-h265,stream-format=byte-stream,alignment=au", "h265parse ! rtph265pay config-interval=-1 pt={}"),
    "audio/mpeg": ("aacparse", "audio/mpeg,stream-format=raw", "aacparse ! rtpmp4gpay pt={}"),
    "audio/x-opus": ("identity", "audio/x-opus", "rtpopuspay pt={}"),
    # The payload types of G.711 are fixed (RFC 3551 §6).
    "audio/x-mulaw": ("identity", "audio/x-mulaw", "rtppcmupay pt=0"),
    "audio/x-alaw": ("identity", "audio/x-alaw", "rtppcmapay pt=8"),
    # Packets come ready-made: see Documents.
    "metadata": (None, None, "capsfilter caps=application/x-rtp"),
}
# The first payload type that is free (RFC 3551 §6).
FIRST_TYPE = 96
DOCUMENTS_PER_SECOND = 5
# Bytes of a document in one packet: small, so that documents need several.
DOCUMENT_PIECE = 700


class Track:
    """One stream of a file: its access units with their times from the first, and its length."""

    def __init__(self, sink, kind):
        self.kind = kind
        self.caps = None
        self.units = []
        while sample := sink.try_pull_sample(10 * Gst.SECOND):
            self.caps = sample.get_caps()
            self.units.append(sample.get_buffer().copy_deep())
        if not self.units:
            sys.exit(f"gst-camera: no {kind} could be read")
        steps = [unit.dts if unit.dts != Gst.CLOCK_TIME_NONE else unit.pts for unit in self.units]
        start = steps[0]
        self.shown = [unit.pts - start if unit.pts != Gst.CLOCK_TIME_NONE else step - start for unit, step in zip(self.units, steps)]
        self.due = [step - start for step in steps]
        last = self.due[-1] - self.due[-2] if len(self.due) > 1 else Gst.SECOND
        if kind.startswith("audio") and self.units[-1].duration != Gst.CLOCK_TIME_NONE:
            last = self.units[-1].duration
        self.length = self.due[-1] + last
        if self.length <= 0:
            sys.exit(f"gst-camera: the {kind} has no times, so it would be sent as fast as memory allows; put it into an MP4")

    def unit(self, number, origin):
        """Access unit `number` of the endless stream, with times from `origin`, and when to send it."""
        lap, index = divmod(number, len(self.units))
        offset = origin + lap * self.length
        source = self.units[index]
        buffer = source.copy_deep()
        buffer.dts = offset + self.due[index]
        buffer.pts = offset + self.shown[index]
        return buffer, buffer.dts


class Documents:
    """ONVIF metadata (ONVIF Streaming Specification §5.1.2.1.1): documents over several packets each, the last one with the marker."""

    kind = "metadata"

    def __init__(self, folder, payload_type):
        files = sorted(file for file in folder.iterdir() if file.is_file())
        if not files:
            sys.exit(f"gst-camera: {folder} holds no documents")
        self.pieces = []
        for number, file in enumerate(files):
            document = file.read_bytes()
            for start in range(0, len(document), DOCUMENT_PIECE):
                piece = document[start : start + DOCUMENT_PIECE]
                self.pieces.append((number, start + DOCUMENT_PIECE >= len(document), piece))
        self.count = len(files)
        self.payload_type = payload_type
        self.caps = Gst.Caps.from_string(
            f"application/x-rtp,media=application,payload={payload_type},clock-rate=90000,encoding-name=VND.ONVIF.METADATA"
        )

    def unit(self, number, origin):
        """Packet `number` of the endless stream, and when to send it."""
        lap, index = divmod(number, len(self.pieces))
        document, last, piece = self.pieces[index]
        due = origin + (lap * self.count + document) * Gst.SECOND // DOCUMENTS_PER_SECOND
        ticks = due * 90_000 // Gst.SECOND
        kind = (0x80 if last else 0) | self.payload_type
        head = struct.pack(">BBHII", 0x80, kind, number & 0xFFFF, ticks & 0xFFFFFFFF, 0x0DA7A)
        buffer = Gst.Buffer.new_wrapped(head + piece)
        buffer.pts = buffer.dts = due
        return buffer, due


def load(path):
    """The tracks of a file."""
    if path.suffix in (".264", ".h264", ".265", ".h265", ".hevc"):
        codec = "h265" if path.suffix in (".265", ".h265", ".hevc") else "h264"
        kinds = [f"video/x-{codec}"]
        # An elementary stream has no times: the timestamper finds them in the stream.
        front = f"filesrc location={path} ! {codec}parse ! {codec}timestamper"
    else:
        kinds = discover(path)
        front = f"filesrc location={path} ! qtdemux name=demux"
    description = front
    for number, kind in enumerate(kinds):
        parser, caps, _ = KINDS[kind]
        pad = f" demux. ! {kind}" if "demux" in front else ""
        description += f"{pad} ! queue max-size-buffers=0 max-size-bytes=0 max-size-time=0 ! {parser} ! {caps} ! appsink name=sink{number} sync=false"
    pipeline = Gst.parse_launch(description)
    pipeline.set_state(Gst.State.PLAYING)
    tracks = [Track(pipeline.get_by_name(f"sink{number}"), kind) for number, kind in enumerate(kinds)]
    pipeline.set_state(Gst.State.NULL)
    return tracks


def discover(path):
    """Kinds of the file's tracks that can be served, video first."""
    pipeline = Gst.parse_launch(f"filesrc location={path} ! qtdemux name=demux")
    found, complete = [], threading.Event()

    def on_pad(_, pad):
        found.append(pad.get_current_caps().get_structure(0).get_name())
        sink = Gst.ElementFactory.make("fakesink")
        pipeline.add(sink)
        sink.sync_state_with_parent()
        pad.link(sink.get_static_pad("sink"))

    pipeline.get_by_name("demux").connect("pad-added", on_pad)
    pipeline.get_by_name("demux").connect("no-more-pads", lambda _: complete.set())
    pipeline.set_state(Gst.State.PAUSED)
    complete.wait(10)
    pipeline.set_state(Gst.State.NULL)
    kinds = sorted((kind for kind in found if kind in KINDS), reverse=True)
    if not kinds:
        sys.exit(f"gst-camera: {path} holds no H.264, H.265, AAC, Opus or G.711")
    return kinds


class Pump(threading.Thread):
    """Pushes every playing track's access units when they are due: one thread for all cameras."""

    def __init__(self):
        super().__init__(daemon=True)
        self.changed = threading.Condition()
        self.turns = []
        self.serial = 0
        self.clock = Gst.SystemClock.obtain()

    def play(self, media, sources):
        """Starts the tracks of one mount; `sources` are (appsrc, track)."""
        with self.changed:
            for source, track in sources:
                self.serial += 1
                heapq.heappush(self.turns, (self.clock.get_time(), self.serial, media, source, track, 0, None))
            self.changed.notify()

    def run(self):
        while True:
            with self.changed:
                while not self.turns:
                    self.changed.wait()
                wait = (self.turns[0][0] - self.clock.get_time()) / Gst.SECOND
                if wait > 0:
                    self.changed.wait(min(wait, 0.05))
                    continue
                _, serial, media, source, track, number, base = heapq.heappop(self.turns)
            if base is None:
                # Stream time starts when the pipeline runs; until then there is nobody to push to.
                base = source.get_base_time()
                if source.current_state != Gst.State.PLAYING or base == 0:
                    self.again(self.clock.get_time() + Gst.SECOND // 100, serial, media, source, track, number, None)
                    continue
                media.origin = getattr(media, "origin", None) or self.clock.get_time() - base
            buffer, due = track.unit(number, media.origin)
            if source.emit("push-buffer", buffer) != Gst.FlowReturn.OK:
                continue  # The client has left.
            _, due = track.unit(number + 1, media.origin)
            self.again(base + due, serial, media, source, track, number + 1, base)

    def again(self, *turn):
        with self.changed:
            heapq.heappush(self.turns, turn)


class Camera(GstRtspServer.RTSPMediaFactory):
    """A mount that plays one file for ever."""

    def __init__(self, tracks, pump, drop):
        super().__init__()
        self.tracks, self.pump = tracks, pump
        parts = []
        for number, track in enumerate(tracks):
            payload = KINDS[track.kind][2].format(FIRST_TYPE + number)
            if drop > 0:
                payload += f" ! identity drop-probability={drop}"
            parts.append(f"appsrc name=src{number} is-live=true format=time max-bytes=0 ! {payload} name=pay{number}")
        self.set_launch("( " + " ".join(parts) + " )")
        # Each client has a pipeline of its own, as on a camera: one that clients share and begin to play at the same moment is now and then
        # left with tracks that never send (GStreamer 1.22, 3 of 32 tries with two ffmpeg).
        self.set_shared(False)
        self.connect("media-configure", self.configure)

    def configure(self, _, media):
        element = media.get_element()
        sources = []
        for number, track in enumerate(self.tracks):
            source = element.get_by_name(f"src{number}")
            source.set_property("caps", track.caps)
            sources.append((source, track))
        self.pump.play(media, sources)


class Reports:
    """Writes what clients report by RTCP (RFC 3550 §6.4.2), as GStreamer's RTP sessions understood it."""

    FIELDS = ("rb-fractionlost", "rb-packetslost", "rb-exthighestseq", "rb-jitter", "rb-lsr", "rb-dlsr", "rb-round-trip")

    def __init__(self, path):
        self.file = open(path, "w", buffering=1)
        self.media = []
        GLib.timeout_add(500, self.write)

    def watch(self, _, media):
        self.media.append(media)

    def write(self):
        for media in self.media:
            for number in range(media.n_streams()):
                session = media.get_stream(number).get_rtpsession()
                # The sources live as long as what they were taken from.
                stats = session.get_property("stats") if session else None
                for source in stats.get_value("source-stats") if stats else []:
                    if source.has_field("have-rb") and source.get_value("have-rb") and not source.get_value("internal"):
                        report = {field: source.get_value(field) for field in self.FIELDS}
                        print(json.dumps({"track": number, **report}), file=self.file)
        return True


def protect(server, credentials, certificate):
    """Asks every client for digest credentials, and speaks TLS if there is a certificate."""
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    if credentials:
        user, _, password = credentials.partition(":")
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(user, password, token)
    else:
        auth.set_default_token(token)
    if certificate:
        auth.set_tls_certificate(Gio.TlsCertificate.new_from_file(certificate))
    server.set_auth(auth)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("cameras", nargs="+", metavar="NAME=FILE")
    parser.add_argument("--auth", metavar="USER:PASSWORD")
    parser.add_argument("--drop", type=float, default=0.0, metavar="P")
    parser.add_argument("--count", type=int, default=0, metavar="N")
    parser.add_argument("--metadata", metavar="FOLDER", type=pathlib.Path, help="each mount also sends these documents")
    parser.add_argument("--reports", metavar="FILE", help="write there what clients report by RTCP")
    parser.add_argument("--tls", metavar="PEM", help="certificate and key in one file: serves rtsps://")
    arguments = parser.parse_args()

    Gst.init(None)
    files = dict(camera.split("=", 1) for camera in arguments.cameras)
    tracks = {name: load(pathlib.Path(file)) for name, file in files.items()}
    if arguments.metadata:
        for of_one in tracks.values():
            of_one.append(Documents(arguments.metadata, FIRST_TYPE + len(of_one)))
    if arguments.count:
        first = next(iter(tracks.values()))
        tracks.update({f"c{number}": first for number in range(arguments.count)})

    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(arguments.port))
    if arguments.auth or arguments.tls:
        protect(server, arguments.auth, arguments.tls)
    pump = Pump()
    reports = Reports(arguments.reports) if arguments.reports else None
    for name, files_tracks in tracks.items():
        factory = Camera(files_tracks, pump, arguments.drop)
        if reports:
            factory.connect("media-configure", reports.watch)
        if arguments.auth or arguments.tls:
            permissions = GstRtspServer.RTSPPermissions()
            permissions.add_permission_for_role("viewer", "media.factory.access", True)
            permissions.add_permission_for_role("viewer", "media.factory.construct", True)
            factory.set_permissions(permissions)
        server.get_mount_points().add_factory(f"/{name}", factory)
    if server.attach(None) == 0:
        sys.exit(f"gst-camera: port {arguments.port} of 127.0.0.1 cannot be used")
    pump.start()
    loop = GLib.MainLoop()
    for number in (signal.SIGINT, signal.SIGTERM):
        GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, number, loop.quit)
    scheme = "rtsps" if arguments.tls else "rtsp"
    print("ready:", *(f"{scheme}://127.0.0.1:{arguments.port}/{name}" for name in tracks), flush=True)
    loop.run()


if __name__ == "__main__":
    main()
