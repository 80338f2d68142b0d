"""nginx with the configuration in docs/, on a free port, with a certificate of its own."""

import ssl
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from server_process import ServerProcess

CONFIGURATION: Final = Path(__file__).parents[2] / "docs/nginx.conf"

_MAIN: Final = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr info;
events {{ worker_connections 256; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/thumbstream.conf;
}}
"""


class NginxServer(ServerProcess):
    """docs/nginx.conf with other ports, paths and host name, before an api on ``api_port``."""

    def __init__(self, folder: Path, program: str, api_port: int) -> None:
        super().__init__("nginx", folder)
        self._program = program
        self.certificate = folder / "certificate.pem"
        self.access_log = folder / "access.log"
        key = folder / "key.pem"
        self._make_certificate(key)
        text = CONFIGURATION.read_text()
        for documented, ours in {
            "127.0.0.1:8080": f"127.0.0.1:{api_port}",
            "listen 443 ssl": f"listen 127.0.0.1:{self.port} ssl",
            "server_name photos.example.com": "server_name localhost",
            "/etc/ssl/certs/photos.example.com.pem": str(self.certificate),
            "/etc/ssl/private/photos.example.com.key": str(key),
            "/var/log/nginx/thumbstream.log": str(self.access_log),
        }.items():
            assert documented in text, f"docs/nginx.conf lacks {documented}"
            text = text.replace(documented, ours)
        (folder / "thumbstream.conf").write_text(text)
        (folder / "main.conf").write_text(_MAIN.format(folder=folder))

    @property
    def url(self) -> str:
        """The public URL, with the path prefix of the configuration."""
        return f"https://localhost:{self.port}/thumbs"

    def command(self) -> Sequence[str]:
        """Run in the foreground."""
        return [self._program, "-e", "stderr", "-p", str(self.folder), "-c", str(self.folder / "main.conf")]

    def client_context(self) -> ssl.SSLContext:
        """For clients that believe this certificate alone."""
        return ssl.create_default_context(cafile=str(self.certificate))

    def _make_certificate(self, key: Path) -> None:
        subject = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
        files = ("-keyout", str(key), "-out", str(self.certificate))
        command = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject, *files)
        subprocess.run(command, check=True, capture_output=True)
