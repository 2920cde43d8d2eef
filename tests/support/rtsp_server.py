"""A real RTSP server of numbered pictures; runs under the system's Python, which has GStreamer's bindings.

    python3 rtsp_server.py PORT FOLDER CODEC FPS [USER:PASSWORD]

FOLDER holds 00000.jpg, 00001.jpg, ...; CODEC is `h264`, `h264-rare` (a keyframe every 6 s at 10 fps) or `mjpeg`. The
pictures are served in a loop at rtsp://127.0.0.1:PORT/cam; one line on standard output says that the server listens.
"""

from __future__ import annotations

import sys
from pathlib import Path

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

# H.264 as cameras send it, grey from 16 to 235. By way of RGB, as from a JPEG's I420 nothing would be converted.
ENCODERS = {
    "h264": "bt601 ! identity sync=true ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=10 ! "
    "rtph264pay name=pay0 pt=96 config-interval=1",
    "h264-rare": "bt601 ! identity sync=true ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=60 ! "
    "rtph264pay name=pay0 pt=96 config-interval=1",
    "mjpeg": "1:4:0:0 ! identity sync=true ! jpegenc quality=95 ! rtpjpegpay name=pay0 pt=26",
}


def main(port: str, folder: str, codec: str, fps: str, login: str = "") -> None:
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_shared(True)
    last = len(list(Path(folder).glob("*.jpg"))) - 1
    factory.set_launch(
        f"( multifilesrc location={folder}/%05d.jpg start-index=0 stop-index={last} loop=true "
        f"caps=image/jpeg,framerate={fps}/1 ! jpegdec ! "
        "videoconvert ! video/x-raw,format=RGB ! videoconvert ! "
        f"video/x-raw,format=I420,colorimetry={ENCODERS[codec]} )"
    )
    if login:
        auth, token = GstRtspServer.RTSPAuth(), GstRtspServer.RTSPToken()
        token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, "user")
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(*login.split(":")), token)
        server.set_auth(auth)
        permissions = GstRtspServer.RTSPPermissions()
        permissions.add_permission_for_role("user", GstRtspServer.RTSP_PERM_MEDIA_FACTORY_ACCESS, True)
        permissions.add_permission_for_role("user", GstRtspServer.RTSP_PERM_MEDIA_FACTORY_CONSTRUCT, True)
        factory.set_permissions(permissions)
    server.get_mount_points().add_factory("/cam", factory)
    if not server.attach(None):
        sys.exit(f"port in use: {port}")
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    GLib.MainLoop().run()


main(*sys.argv[1:])
