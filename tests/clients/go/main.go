// A program with OpenTelemetry's Go SDK in its default batch settings. Everything it exports goes to the agent and, from
// the same objects, to the server that records what was sent. The options are those of ../python/client.py.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"math"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	otellog "go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/metric"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

const (
	burst = 500
	pause = 1500 * time.Millisecond
)

var (
	name        = flag.String("name", "", "")
	protocol    = flag.String("protocol", "grpc", "")
	compression = flag.String("compression", "none", "")
	agentGrpc   = flag.String("agent-grpc", "", "")
	agentHTTP   = flag.String("agent-http", "", "")
	sent        = flag.String("sent", "", "")
	long        = flag.Float64("long", 0, "")
	bursts      = flag.Int("bursts", 3, "")
)

// The three exporters of one way out.
type exporters struct {
	spans   sdktrace.SpanExporter
	logs    sdklog.Exporter
	metrics sdkmetric.Exporter
}

func complain(err error) error {
	if err != nil {
		fmt.Println("the agent did not take a batch:", err)
	}
	return err
}

// Each exports to the agent, then the same to the record of what was sent.
type spansTwice struct{ agent, record sdktrace.SpanExporter }

func (t spansTwice) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := complain(t.agent.ExportSpans(ctx, spans))
	return errors.Join(err, t.record.ExportSpans(ctx, spans))
}

func (t spansTwice) Shutdown(ctx context.Context) error {
	return errors.Join(t.agent.Shutdown(ctx), t.record.Shutdown(ctx))
}

type logsTwice struct{ agent, record sdklog.Exporter }

func (t logsTwice) Export(ctx context.Context, records []sdklog.Record) error {
	err := complain(t.agent.Export(ctx, records))
	return errors.Join(err, t.record.Export(ctx, records))
}

func (t logsTwice) ForceFlush(ctx context.Context) error {
	return errors.Join(t.agent.ForceFlush(ctx), t.record.ForceFlush(ctx))
}

func (t logsTwice) Shutdown(ctx context.Context) error {
	return errors.Join(t.agent.Shutdown(ctx), t.record.Shutdown(ctx))
}

type metricsTwice struct {
	sdkmetric.Exporter
	record sdkmetric.Exporter
}

func (t metricsTwice) Export(ctx context.Context, metrics *metricdata.ResourceMetrics) error {
	// At its end the reader cancels an export that runs, and nobody knows then whether it was taken.
	ctx = context.WithoutCancel(ctx)
	err := complain(t.Exporter.Export(ctx, metrics))
	return errors.Join(err, t.record.Export(ctx, metrics))
}

func (t metricsTwice) Shutdown(ctx context.Context) error {
	return errors.Join(t.Exporter.Shutdown(ctx), t.record.Shutdown(ctx))
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func overGrpc(ctx context.Context) exporters {
	spans := []otlptracegrpc.Option{otlptracegrpc.WithEndpoint(*agentGrpc), otlptracegrpc.WithInsecure()}
	logs := []otlploggrpc.Option{otlploggrpc.WithEndpoint(*agentGrpc), otlploggrpc.WithInsecure()}
	metrics := []otlpmetricgrpc.Option{otlpmetricgrpc.WithEndpoint(*agentGrpc), otlpmetricgrpc.WithInsecure()}
	if *compression == "gzip" {
		spans = append(spans, otlptracegrpc.WithCompressor("gzip"))
		logs = append(logs, otlploggrpc.WithCompressor("gzip"))
		metrics = append(metrics, otlpmetricgrpc.WithCompressor("gzip"))
	}
	return exporters{must(otlptracegrpc.New(ctx, spans...)), must(otlploggrpc.New(ctx, logs...)), must(otlpmetricgrpc.New(ctx, metrics...))}
}

func overHTTP(ctx context.Context, url string, gzip bool) exporters {
	spans := []otlptracehttp.Option{otlptracehttp.WithEndpointURL(url + "/v1/traces")}
	logs := []otlploghttp.Option{otlploghttp.WithEndpointURL(url + "/v1/logs")}
	metrics := []otlpmetrichttp.Option{otlpmetrichttp.WithEndpointURL(url + "/v1/metrics")}
	if gzip {
		spans = append(spans, otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
		logs = append(logs, otlploghttp.WithCompression(otlploghttp.GzipCompression))
		metrics = append(metrics, otlpmetrichttp.WithCompression(otlpmetrichttp.GzipCompression))
	}
	return exporters{must(otlptracehttp.New(ctx, spans...)), must(otlploghttp.New(ctx, logs...)), must(otlpmetrichttp.New(ctx, metrics...))}
}

// What HTTP instrumentation writes, and each kind of value at its bounds.
func attributes(index int) []attribute.KeyValue {
	status := 200
	if index%10 == 0 {
		status = 503
	}
	return []attribute.KeyValue{
		attribute.String("http.request.method", "GET"),
		attribute.String("http.route", fmt.Sprintf("/orders/{id}/%d", index%7)),
		attribute.String("url.full", fmt.Sprintf("https://shop.example/orders/%d?page=3&sort=asc&filter=caf\u00e9", index)),
		attribute.String("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36"),
		attribute.String("server.address", "shop.example"),
		attribute.Int("server.port", 443),
		attribute.String("network.protocol.version", "1.1"),
		attribute.Int("http.response.status_code", status),
		attribute.Int64("order.number", 1<<62+int64(index)),
		attribute.Int64("order.negative", math.MinInt64),
		attribute.Float64("order.share", 0.1+float64(index)),
		attribute.Float64("order.not_a_number", math.NaN()),
		attribute.Float64("order.infinite", math.Inf(-1)),
		attribute.Bool("order.paid", index%2 == 0),
		attribute.String("order.empty", ""),
		attribute.StringSlice("order.words", []string{"a", "", "\u4e2d\u6587", "\U0001f6a2"}),
		attribute.Int64Slice("order.numbers", []int64{1, -1, 1<<53 + 1}),
		attribute.Float64Slice("order.shares", []float64{0.5, math.Inf(1)}),
		attribute.BoolSlice("order.flags", []bool{true, false}),
	}
}

func emit(ctx context.Context, logger otellog.Logger, body attribute.Value, severity otellog.Severity, index int) {
	var record otellog.Record
	record.SetTimestamp(time.Now())
	record.SetSeverity(severity)
	record.SetSeverityText(severity.String())
	record.SetBody(body)
	if index%4 == 0 {
		record.SetEventName("order.answered")
	}
	record.AddAttributes(
		attribute.Int("index", index),
		attribute.Int64("big", 1<<62+int64(index)),
		attribute.KeyValue{Key: "raw", Value: attribute.ByteSliceValue([]byte{1, 2, 0xfe})},
		attribute.KeyValue{Key: "nested", Value: attribute.MapValue(attribute.KeyValue{Key: "a", Value: attribute.SliceValue(attribute.IntValue(1), attribute.MapValue(attribute.KeyValue{Key: "b"}))})},
	)
	logger.Emit(ctx, record)
}

func oneTrace(ctx context.Context, tracer trace.Tracer, logger otellog.Logger, index int) {
	ctx, root := tracer.Start(ctx, "GET /orders/{id}", trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attributes(index)...))
	for child := range 4 {
		options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKind(child + 1)), trace.WithAttributes(attributes(index + child)...)}
		if child == 3 {
			options = append(options, trace.WithLinks(trace.Link{
				SpanContext: root.SpanContext(),
				Attributes:  []attribute.KeyValue{attribute.Int("link.number", child), attribute.String("link.name", "caused by")},
			}))
		}
		_, span := tracer.Start(ctx, fmt.Sprintf("step %d", child), options...)
		if child == 1 {
			span.AddEvent("cache.miss", trace.WithAttributes(attribute.String("key", "order"), attribute.Int64("size", 1<<40), attribute.Float64("ratio", 0.25)))
		}
		if child == 2 && index%10 == 0 {
			span.RecordError(errors.New("no such order \u2603"), trace.WithStackTrace(true))
			span.SetStatus(codes.Error, "no such order")
		}
		span.End()
	}
	body := attribute.StringValue(fmt.Sprintf("order %d answered", index))
	if index%3 == 0 {
		body = attribute.MapValue(attribute.Int("order", index), attribute.KeyValue{Key: "parts", Value: attribute.SliceValue(
			attribute.IntValue(1), attribute.StringValue("two"), attribute.Float64Value(3), attribute.Value{},
			attribute.MapValue(attribute.KeyValue{Key: "deep", Value: attribute.ByteSliceValue([]byte{0, 0xff})}))})
	}
	severity := otellog.SeverityInfo
	if index%5 == 0 {
		severity = otellog.SeverityError
	}
	emit(ctx, logger, body, severity, index)
	root.End()
}

func main() {
	flag.Parse()
	ctx := context.Background()
	var agent exporters
	if *protocol == "grpc" {
		agent = overGrpc(ctx)
	} else {
		agent = overHTTP(ctx, *agentHTTP, *compression == "gzip")
	}
	record := overHTTP(ctx, *sent, false)
	about := resource.NewSchemaless(attribute.String("service.name", *name), attribute.String("service.version", "1.2.3"),
		attribute.Int("host.cores", 8), attribute.Float64("host.load", 0.5))
	tracers := sdktrace.NewTracerProvider(sdktrace.WithResource(about), sdktrace.WithBatcher(spansTwice{agent.spans, record.spans}))
	loggers := sdklog.NewLoggerProvider(sdklog.WithResource(about), sdklog.WithProcessor(sdklog.NewBatchProcessor(logsTwice{agent.logs, record.logs})))
	reader := sdkmetric.NewPeriodicReader(metricsTwice{agent.metrics, record.metrics}, sdkmetric.WithInterval(5*time.Second))
	view := sdkmetric.NewView(sdkmetric.Instrument{Name: "queue.wait"},
		sdkmetric.Stream{Aggregation: sdkmetric.AggregationBase2ExponentialHistogram{MaxSize: 160, MaxScale: 20}})
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithResource(about), sdkmetric.WithReader(reader), sdkmetric.WithView(view))
	tracer := tracers.Tracer("clients", trace.WithInstrumentationVersion("0.1"), trace.WithSchemaURL("https://opentelemetry.io/schemas/1.30.0"))
	logger := loggers.Logger("clients", otellog.WithInstrumentationVersion("0.1"))
	meter := meters.Meter("clients", metric.WithInstrumentationVersion("0.1"))
	orders := must(meter.Int64Counter("orders", metric.WithUnit("1"), metric.WithDescription("orders that came in")))
	total := must(meter.Float64Counter("orders.total", metric.WithUnit("EUR")))
	waiting := must(meter.Int64UpDownCounter("orders.waiting"))
	took := must(meter.Float64Histogram("orders.took", metric.WithUnit("s"), metric.WithDescription("time to answer")))
	wait := must(meter.Float64Histogram("queue.wait", metric.WithUnit("ms")))
	must(meter.Float64ObservableGauge("boiler.temperature", metric.WithFloat64Callback(func(_ context.Context, observer metric.Float64Observer) error {
		observer.Observe(71.5, metric.WithAttributes(attribute.String("boiler", "aft")))
		observer.Observe(math.NaN(), metric.WithAttributes(attribute.String("boiler", "fore")))
		return nil
	})))
	must(meter.Int64ObservableCounter("boiler.burnt", metric.WithInt64Callback(func(_ context.Context, observer metric.Int64Observer) error {
		observer.Observe(1<<60+1, metric.WithAttributes(attribute.String("boiler", "aft")))
		return nil
	})))

	begin := time.Now()
	var watch trace.Span
	watched := ctx
	if *long > 0 {
		watched, watch = tracer.Start(ctx, "watch", trace.WithAttributes(attributes(0)...))
	}
	for number := range *bursts {
		for index := number * burst / 5; index < (number+1)*burst/5; index++ {
			oneTrace(ctx, tracer, logger, index)
			orders.Add(ctx, 1<<54+int64(index), metric.WithAttributes(attribute.String("shop", "aft"), attribute.Int("kind", index%3)))
			total.Add(ctx, 0.1, metric.WithAttributes(attribute.String("shop", "aft")))
			waiting.Add(ctx, int64(index%2*2-1))
			measured, span := tracer.Start(ctx, "measured")
			took.Record(measured, 0.003*float64(index%400), metric.WithAttributes(attribute.String("shop", "fore")))
			span.End()
			wait.Record(ctx, math.Pow(1.7, float64(index%40)))
			emit(ctx, logger, attribute.StringValue(fmt.Sprintf("no trace %d", index)), otellog.SeverityWarn, index)
		}
		time.Sleep(pause)
	}
	for watch != nil && time.Since(begin).Seconds() < *long {
		_, look := tracer.Start(watched, "look", trace.WithAttributes(attribute.Int("at", int(time.Since(begin).Seconds()))))
		look.End()
		emit(watched, logger, attribute.StringValue("all well"), otellog.SeverityInfo, 0)
		time.Sleep(3 * time.Second)
	}
	if watch != nil {
		watch.End()
	}
	for _, end := range []func(context.Context) error{tracers.Shutdown, loggers.Shutdown, meters.Shutdown} {
		if err := end(ctx); err != nil {
			fmt.Println("at the end:", err)
		}
	}
}
