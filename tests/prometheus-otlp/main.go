// Makes the cases of crates/device/prometheus/src/prometheus_cases.json: names, and whole OTLP requests, with what Prometheus' own OTLP
// endpoint makes of them.
//
//	go run . > ../../crates/device/prometheus/src/prometheus_cases.json
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"math/rand"
	"os"
	"sort"
	"strings"

	"github.com/prometheus/otlptranslator"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/storage/remote/otlptranslator/prometheusremotewrite"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
)

var strategies = []otlptranslator.TranslationStrategyOption{
	otlptranslator.UnderscoreEscapingWithSuffixes, otlptranslator.UnderscoreEscapingWithoutSuffixes,
	otlptranslator.NoUTF8EscapingWithSuffixes, otlptranslator.NoTranslation,
}

type name struct {
	Name     string   `json:"name"`
	Unit     string   `json:"unit"`
	Kind     string   `json:"kind"`
	Metric   []string `json:"metric"`
	Label    []string `json:"label"`
	UnitName string   `json:"unit_name"`
}

type request struct {
	Strategy int      `json:"strategy"`
	Promote  []string `json:"promote"`
	Request  string   `json:"request"`
	Lines    []string `json:"lines"`
}

var random = rand.New(rand.NewSource(1))

func pick[T any](from []T) T { return from[random.Intn(len(from))] }

var words = []string{
	"http", "server", "duration", "total", "bytes", "seconds", "ratio", "per", "second", "_", "__", "9", "ü", "a:b", "x-y", "日", "Total",
	"hertz", "percent", "per_second",
}

func someName() string {
	parts := make([]string, 1+random.Intn(4))
	for i := range parts {
		parts[i] = pick(words)
	}
	return strings.Join(parts, pick([]string{".", "_", "", " ", "__", "/", "-"}))
}

var units = []string{
	"", "1", "s", "ms", "By", "By/s", "{call}", "{call}/s", "m/h", "%", "Cel", "widgets", "a b", "_x_", "foo__bar", "1/s", "s/", "/s", " s ",
	"€", "ms/{x}", "KiBy/mo", "bytes", "per/per", "__", "x/__", "a/b/c",
}

var kinds = map[string]otlptranslator.MetricType{
	"gauge": otlptranslator.MetricTypeGauge, "counter": otlptranslator.MetricTypeMonotonicCounter,
	"other": otlptranslator.MetricTypeHistogram,
}

func names() (all []name) {
	for i := 0; i < 700; i++ {
		one := name{Name: someName(), Unit: pick(units), Kind: pick([]string{"gauge", "counter", "other"})}
		for _, strategy := range strategies {
			namer := otlptranslator.NewMetricNamer("", strategy)
			built, err := namer.Build(otlptranslator.Metric{Name: one.Name, Unit: one.Unit, Type: kinds[one.Kind]})
			if err != nil {
				built = ""
			}
			one.Metric = append(one.Metric, built)
		}
		key := one.Name
		if random.Intn(4) == 0 {
			key = "__" + key + "__"
		}
		for _, utf8 := range []bool{false, true} {
			// As Prometheus is configured by default.
			namer := otlptranslator.LabelNamer{
				UTF8Allowed: utf8, UnderscoreLabelSanitization: true, PreserveMultipleUnderscores: true,
			}
			built, err := namer.Build(key)
			if err != nil {
				built = ""
			}
			one.Label = append(one.Label, built)
		}
		one.Label = append(one.Label, key)
		unit := otlptranslator.UnitNamer{}
		one.UnitName = unit.Build(one.Unit)
		all = append(all, one)
	}
	return all
}

// recorder writes down what the endpoint would store.
type recorder struct{ lines []string }

func (r *recorder) Commit() error   { return nil }
func (r *recorder) Rollback() error { return nil }

func bits(value float64) string { return fmt.Sprintf("%016x", math.Float64bits(value)) }

func text(ls labels.Labels) string {
	var out []string
	ls.Range(func(l labels.Label) { out = append(out, l.Name+"="+l.Value) })
	sort.Strings(out)
	return strings.Join(out, "|")
}

func buckets(spans []histogram.Span, deltas []int64) string {
	var out []string
	var index, count int64
	at := 0
	for _, span := range spans {
		index += int64(span.Offset)
		for i := uint32(0); i < span.Length; i++ {
			count += deltas[at]
			at++
			if count != 0 {
				out = append(out, fmt.Sprintf("%d:%d", index, count))
			}
			index++
		}
	}
	return strings.Join(out, ",")
}

func (r *recorder) Append(_ storage.SeriesRef, ls labels.Labels, st, t int64, v float64, h *histogram.Histogram, _ *histogram.FloatHistogram, opts storage.AOptions) (storage.SeriesRef, error) {
	value := bits(v)
	if h != nil {
		value = fmt.Sprintf("h %d %d %d %s [%s] [%s]", h.Schema, h.Count, h.ZeroCount, bits(h.Sum),
			buckets(h.NegativeSpans, h.NegativeBuckets), buckets(h.PositiveSpans, h.PositiveBuckets))
	}
	if opts.Metadata.Type == "gauge" || st >= t {
		st = 0 // A gauge's start says nothing, and one that is not before its time is none.
	}
	r.lines = append(r.lines, fmt.Sprintf("%s @%d-%d %s %s %q %q", text(ls), st, t, value, opts.Metadata.Type, opts.Metadata.Help, opts.Metadata.Unit))
	for _, e := range opts.Exemplars {
		r.lines = append(r.lines, fmt.Sprintf("%s exemplar @%d %s %s", text(ls), e.Ts, bits(e.Value), text(e.Labels)))
	}
	return 0, nil
}

const start = 1_700_000_000_000_000_000

func value(to pcommon.Value) {
	switch random.Intn(8) {
	case 0:
		to.SetInt(random.Int63n(2000) - 1000)
	case 1:
		to.SetDouble(pick([]float64{0, 1, -2.5, 1e21, 3e-7, math.Inf(1), math.NaN(), 123456.789}))
	case 2:
		to.SetBool(random.Intn(2) == 0)
	case 3:
		to.SetEmptyBytes().FromRaw([]byte{1, 2, 255})
	case 4:
		slice := to.SetEmptySlice()
		slice.AppendEmpty().SetStr("a<b")
		slice.AppendEmpty().SetInt(5)
	case 5:
		to.SetStr("")
	default:
		to.SetStr(pick([]string{"GET", "ä", "a b", "x;y", "0"}))
	}
}

func fill(to pcommon.Map, most int) {
	for i := random.Intn(most + 1); i > 0; i-- {
		key := pick([]string{"http.method", "http_method", "http-method", "a", "b.c", "job", "le", "quantile", "9x", "_id", "a..b", "__meta__", "__name__", "üx", "code"})
		if _, there := to.Get(key); !there {
			value(to.PutEmpty(key))
		}
	}
}

func number(to pmetric.NumberDataPoint) {
	fill(to.Attributes(), 4)
	to.SetStartTimestamp(start)
	to.SetTimestamp(pcommon.Timestamp(start + random.Int63n(600)*1_000_000_000))
	if random.Intn(2) == 0 {
		to.SetIntValue(random.Int63() - random.Int63())
	} else {
		to.SetDoubleValue(random.NormFloat64())
	}
	if random.Intn(8) == 0 {
		to.SetFlags(pmetric.DefaultDataPointFlags.WithNoRecordedValue(true))
	}
}

func exemplars(to pmetric.ExemplarSlice, values func() float64) {
	// The endpoint takes them for sorted by value.
	sorted := make([]float64, random.Intn(3))
	for i := range sorted {
		sorted[i] = values()
	}
	sort.Float64s(sorted)
	for _, value := range sorted {
		one := to.AppendEmpty()
		one.SetTimestamp(pcommon.Timestamp(start + (1+random.Int63n(600))*1_000_000_000))
		one.SetDoubleValue(value)
		if random.Intn(2) == 0 {
			one.SetTraceID(pcommon.TraceID{1, byte(random.Intn(256))})
			one.SetSpanID(pcommon.SpanID{2, byte(random.Intn(256))})
		}
		if random.Intn(2) == 0 {
			one.FilteredAttributes().PutStr("user.id", strings.Repeat("ü", 1+random.Intn(99)))
			one.FilteredAttributes().PutStr("trace_id", "mine")
		}
	}
}

func metric(to pmetric.Metric, at int) {
	to.SetName(fmt.Sprintf("%s%d", pick([]string{"http.server.duration", "cpu.time", "queue size", "requests_total", "naïve"}), at))
	to.SetUnit(pick(units))
	to.SetDescription(pick([]string{"", "What \"it\" is.", "Wie groß"}))
	points := 1 + random.Intn(3)
	switch random.Intn(5) {
	case 0:
		for data := to.SetEmptyGauge(); points > 0; points-- {
			number(data.DataPoints().AppendEmpty())
		}
	case 1:
		data := to.SetEmptySum()
		data.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
		data.SetIsMonotonic(random.Intn(3) > 0)
		for ; points > 0; points-- {
			point := data.DataPoints().AppendEmpty()
			number(point)
			exemplars(point.Exemplars(), random.NormFloat64)
		}
	case 2:
		data := to.SetEmptyHistogram()
		data.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
		for ; points > 0; points-- {
			point := data.DataPoints().AppendEmpty()
			fill(point.Attributes(), 3)
			point.SetStartTimestamp(start)
			point.SetTimestamp(pcommon.Timestamp(start + random.Int63n(600)*1_000_000_000))
			bounds := pick([][]float64{{}, {0.1, 1, 10}, {-1.5, 0, 1e21, math.Inf(1)}, {0.005}})
			count := uint64(0)
			for i := 0; i <= len(bounds); i++ {
				one := uint64(random.Intn(50))
				count += one
				point.BucketCounts().Append(one)
			}
			point.ExplicitBounds().FromRaw(bounds)
			point.SetCount(count)
			if random.Intn(4) > 0 {
				point.SetSum(random.NormFloat64())
			}
			if random.Intn(8) == 0 {
				point.SetFlags(pmetric.DefaultDataPointFlags.WithNoRecordedValue(true))
			}
			exemplars(point.Exemplars(), func() float64 { return pick([]float64{-2, -1.5, 0.1, 0.5, 5, 1e30}) })
		}
	case 3:
		data := to.SetEmptyExponentialHistogram()
		data.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
		for ; points > 0; points-- {
			point := data.DataPoints().AppendEmpty()
			fill(point.Attributes(), 3)
			point.SetStartTimestamp(start)
			point.SetTimestamp(pcommon.Timestamp(start + random.Int63n(600)*1_000_000_000))
			point.SetScale(int32(random.Intn(25)) - 4)
			point.SetZeroCount(uint64(random.Intn(5)))
			count := point.ZeroCount()
			for _, side := range []pmetric.ExponentialHistogramDataPointBuckets{point.Positive(), point.Negative()} {
				side.SetOffset(int32(random.Intn(2000)) - 1000)
				for i := random.Intn(60); i > 0; i-- {
					one := uint64(0)
					if random.Intn(3) == 0 {
						one = uint64(random.Intn(9))
					}
					count += one
					side.BucketCounts().Append(one)
				}
			}
			point.SetCount(count)
			if random.Intn(4) > 0 {
				point.SetSum(random.NormFloat64())
			}
			exemplars(point.Exemplars(), random.NormFloat64)
		}
	default:
		for data := to.SetEmptySummary(); points > 0; points-- {
			point := data.DataPoints().AppendEmpty()
			fill(point.Attributes(), 3)
			point.SetStartTimestamp(start)
			point.SetTimestamp(pcommon.Timestamp(start + random.Int63n(600)*1_000_000_000))
			point.SetCount(uint64(random.Intn(1000)))
			point.SetSum(random.NormFloat64())
			for _, q := range []float64{0, 0.5, 0.99, 1} {
				one := point.QuantileValues().AppendEmpty()
				one.SetQuantile(q)
				one.SetValue(random.NormFloat64())
			}
		}
	}
}

func requests() (all []request) {
	for i := 0; i < 60; i++ {
		metrics := pmetric.NewMetrics()
		for r := 1 + random.Intn(2); r > 0; r-- {
			group := metrics.ResourceMetrics().AppendEmpty()
			attributes := group.Resource().Attributes()
			for _, key := range []string{"service.name", "service.namespace", "service.instance.id", "host.name", "k8s.pod-name", "job", "a"} {
				if random.Intn(2) == 0 {
					attributes.PutStr(key, pick([]string{"x", "vessel", "ü", ""}))
				}
			}
			for s := 1 + random.Intn(2); s > 0; s-- {
				scope := group.ScopeMetrics().AppendEmpty()
				scope.Scope().SetName("scope")
				for m := 1 + random.Intn(3); m > 0; m-- {
					metric(scope.Metrics().AppendEmpty(), len(all)*100+r*10+s*3+m)
				}
			}
		}
		one := request{Strategy: random.Intn(len(strategies)), Promote: pick([][]string{{}, {"host.name", "a"}, {"job", "service.name"}})}
		bytes, err := pmetricotlp.NewExportRequestFromMetrics(metrics).MarshalProto()
		if err != nil {
			panic(err)
		}
		one.Request = base64.StdEncoding.EncodeToString(bytes)
		kept := &recorder{}
		strategy := strategies[one.Strategy]
		settings := prometheusremotewrite.Settings{
			AddMetricSuffixes:                    strategy.ShouldAddSuffixes(),
			AllowUTF8:                            !strategy.ShouldEscape(),
			LabelNameUnderscoreSanitization:      config.DefaultOTLPConfig.LabelNameUnderscoreSanitization,
			LabelNamePreserveMultipleUnderscores: config.DefaultOTLPConfig.LabelNamePreserveMultipleUnderscores,
			PromoteResourceAttributes:            prometheusremotewrite.NewPromoteResourceAttributes(config.OTLPConfig{PromoteResourceAttributes: one.Promote}),
		}
		if _, err := prometheusremotewrite.NewPrometheusConverter(kept).FromMetrics(context.Background(), metrics, settings); err != nil {
			panic(err)
		}
		sort.Strings(kept.lines)
		one.Lines = kept.lines
		all = append(all, one)
	}
	return all
}

func main() {
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(map[string]any{"names": names(), "requests": requests()}); err != nil {
		panic(err)
	}
}
