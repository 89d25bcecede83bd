#!/usr/bin/python3
"""Replays an MP4 with H.264 by ONVIF's rules with GStreamer's server: a peer that shares no line of code with ours.

    tools/gst-onvif-replay.py 8554 film.mp4 2026-11-23T14:00:00.000000Z

Serves rtsp://127.0.0.1:8554/film. The time is that of the first picture, as the header extension tells it. For `Range: clock=` the server
knows no such time: there the film begins in 1900. Prints "ready"; stops when it is killed.

Needs Debian's packages python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-{base,good,bad}.
"""

import datetime
import sys

try:
    import gi
    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtspServer
except (ImportError, ValueError) as missing:
    sys.exit(f"gst-onvif-replay: {missing}; install python3-gi gir1.2-gst-rtsp-server-1.0 and run with /usr/bin/python3")

SECONDS_1900_TO_1970 = 2_208_988_800


def main():
    port, film, begin = sys.argv[1:]
    Gst.init(None)
    begin = datetime.datetime.fromisoformat(begin.replace("Z", "+00:00"))
    micros = (begin - datetime.datetime.fromtimestamp(0, datetime.timezone.utc)) // datetime.timedelta(microseconds=1)
    offset = SECONDS_1900_TO_1970 * Gst.SECOND + micros * Gst.USECOND
    server = GstRtspServer.RTSPOnvifServer.new()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = GstRtspServer.RTSPOnvifMediaFactory.new()
    factory.set_media_gtype(GstRtspServer.RTSPOnvifMedia.__gtype__)
    factory.set_replay_support(True)
    factory.set_launch(
        f"( filesrc location={film} ! qtdemux ! h264parse ! rtph264pay pt=96 ! "
        f"rtponviftimestamp name=pay0 set-e-bit=true set-t-bit=true ntp-offset={offset} )"
    )
    server.get_mount_points().add_factory("/film", factory)
    if not server.attach(None):
        sys.exit(f"gst-onvif-replay: port {port} cannot be used; choose another")
    print("ready", flush=True)
    GLib.MainLoop().run()


main()
