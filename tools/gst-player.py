#!/usr/bin/python3
"""Shows what GStreamer's RTSP client receives: the decoded pictures of an address, raw, in a file.

    tools/gst-player.py FILE h264 60 location=rtsp://127.0.0.1:8554/gate protocols=tcp
    tools/gst-player.py FILE h265 all 'location=rtsp://127.0.0.1:8554/gate?start=…&end=…'

The rest are properties of `rtspsrc`; as an ONVIF client (`onvif-mode=true`) it looks at ONVIF's header extension too. So many pictures are
enough; with `all` it plays until every track has ended. Ends with a message and 1 when anything fails before. `gst-launch-1.0` would do the
same, but version 1.22 links tracks from several threads at once, so that now and then none is linked ("not-linked"), and takes errors of
its own hurried end for failures.
"""

import argparse
import sys
import threading

try:
    import gi
    gi.require_version("Gst", "1.0")
    from gi.repository import Gst
except (ImportError, ValueError) as missing:
    sys.exit(f"gst-player: {missing}; install python3-gi gir1.2-gst-plugins-base-1.0 and run with /usr/bin/python3")

# Pictures that a decoder holds back at the most: behind the last one wanted, so many must come.
DECODER_HOLDS = 10


def play(arguments):
    Gst.init(None)
    every = arguments.most == "all"
    ends = "" if every else f"! identity eos-after={int(arguments.most) + DECODER_HOLDS}"
    front = "rtponvifparse ! " if "onvif-mode=true" in arguments.properties else ""
    codec = arguments.codec
    pipeline = Gst.parse_launch(
        f"rtspsrc name=source "
        f"{front}rtp{codec}depay ! {codec}parse ! avdec_{codec} {ends} ! filesink name=pictures location={arguments.file}"
    )
    source, pictures = pipeline.get_by_name("source"), pipeline.get_by_name("pictures")
    for text in arguments.properties:
        name, _, value = text.partition("=")
        Gst.util_set_object_arg(source, name, value)
    free = [pipeline.find_unlinked_pad(Gst.PadDirection.SINK)]
    lock = threading.Lock()

    def forget():
        """Where to link what is not to be shown."""
        sink = Gst.ElementFactory.make("fakesink")
        sink.set_property("async", False)
        pipeline.add(sink)
        sink.sync_state_with_parent()
        return sink.sinkpads[0]

    def on_pad(_, pad):
        media = pad.get_current_caps().get_structure(0).get_string("media")
        with lock:
            sink = free.pop() if media == "video" and free else forget()
        if pad.link(sink) != Gst.PadLinkReturn.OK:
            sys.exit(f"gst-player: {media} cannot be linked")

    def on_event(_, info):
        if info.get_event().type == Gst.EventType.EOS:
            bus.post(Gst.Message.new_application(pipeline, Gst.Structure.new_empty("enough")))
        return Gst.PadProbeReturn.OK

    bus = pipeline.get_bus()
    source.connect("pad-added", on_pad)
    if not every:
        pictures.sinkpads[0].add_probe(Gst.PadProbeType.EVENT_DOWNSTREAM, on_event)
    pipeline.set_state(Gst.State.PLAYING)
    message = bus.timed_pop_filtered(Gst.CLOCK_TIME_NONE, Gst.MessageType.ERROR | Gst.MessageType.EOS | Gst.MessageType.APPLICATION)
    failed = message.type == Gst.MessageType.ERROR
    if failed:
        error, details = message.parse_error()
        print(f"gst-player: {error.message}: {details}", file=sys.stderr)
    pipeline.set_state(Gst.State.NULL)
    return int(failed)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("codec", choices=["h264", "h265"])
    parser.add_argument("most", help="how many pictures are enough, or `all`")
    parser.add_argument("properties", nargs="+", metavar="PROPERTY=VALUE")
    sys.exit(play(parser.parse_args()))


if __name__ == "__main__":
    main()
