"""A peer that does the same job: the OpenTelemetry Collector, its queues in files, one pipeline for each signal."""

import signal
import subprocess
import time
import urllib.error
import urllib.request

from ports import free_ports

# Each backend's own OTLP address; the Collector of tests/collector exports nothing else.
PATHS = {
    "prometheus": "/api/v1/otlp", "victoria-metrics": "/opentelemetry", "victoria-logs": "/insert/opentelemetry", "jaeger": "",
}
RECEIVER = "metrics", "logs", "traces"


class Collector:
    """Keeps everything for an outage of any length: queues without a bound that matters, and retries without an end."""

    name = "OpenTelemetry Collector"

    def __init__(self, binary, directory, running):
        self.directory = directory / "collector"
        self.directory.mkdir()
        self.ports = free_ports(1)
        exporters, pipelines = "", ""
        for one, link in running:
            exporters += f"""\
  otlp_http/{one.name}:
    endpoint: http://127.0.0.1:{link.port}{PATHS[one.name]}
    tls: {{ insecure: true }}
    retry_on_failure: {{ enabled: true, initial_interval: 500ms, max_interval: 2s, max_elapsed_time: 0s }}
    sending_queue: {{ enabled: true, storage: file_storage, queue_size: 1000000, num_consumers: 1 }}
"""
        for kind in RECEIVER:
            names = [f"otlp_http/{one.name}" for one, _ in running if one.signal == kind]
            if names:
                pipelines += f"    {kind}: {{ receivers: [otlp], exporters: [{', '.join(names)}] }}\n"
        (self.directory / "config.yaml").write_text(f"""\
extensions:
  file_storage: {{ directory: queue, create_directory: true, fsync: true }}
receivers:
  otlp: {{ protocols: {{ http: {{ endpoint: "127.0.0.1:{self.ports[0]}" }} }} }}
exporters:
{exporters}service:
  extensions: [file_storage]
  telemetry: {{ metrics: {{ level: none }} }}
  pipelines:
{pipelines}""")
        self.binary = binary
        self.start()

    def start(self):
        self.log = open(self.directory / "log", "ab")
        self.process = subprocess.Popen(
            [self.binary, "--config", "config.yaml"], cwd=self.directory, stdout=self.log, stderr=self.log
        )
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.ports[0]}/", timeout=5)
            except urllib.error.HTTPError:
                return
            except (urllib.error.URLError, OSError):
                if self.process.poll() is not None:
                    break
                time.sleep(0.2)
        raise SystemExit(f"the Collector did not start: {(self.directory / 'log').read_text(errors='replace')[-2000:]}")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
