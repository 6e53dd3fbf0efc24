// Makes the cases of crates/hub/store/src/query/prometheus_cases.json: pairs of cumulative native histograms, what Prometheus
// says was added between them, and its quantiles of that.
//
//	go run . > ../../crates/hub/store/src/query/prometheus_cases.json
package main

import (
	"encoding/json"
	"math"
	"math/rand"
	"os"
	"strconv"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser/posrange"
)

const fine = 8

type side struct {
	Offset int64    `json:"offset"`
	Counts []uint64 `json:"counts"`
}

type point struct {
	Scale         int32   `json:"scale"`
	ZeroThreshold float64 `json:"zero_threshold"`
	ZeroCount     uint64  `json:"zero_count"`
	Positive      *side   `json:"positive,omitempty"`
	Negative      *side   `json:"negative,omitempty"`
}

type testCase struct {
	Before    point               `json:"before"`
	Now       point               `json:"now"`
	Added     point               `json:"added"`
	Quantiles map[string]*float64 `json:"quantiles"`
}

type observed struct {
	index    int64
	negative bool
}

func observe(random *rand.Rand, most int) []observed {
	from, spread := random.Int63n(3000)-1500, 1+random.Int63n(500)
	all := make([]observed, random.Intn(most))
	for i := range all {
		all[i] = observed{from + random.Int63n(spread), random.Intn(4) == 0}
	}
	return all
}

func floor(index int64, by uint) int64 { return index >> by }

// count puts each observation into its bucket; OpenTelemetry's bucket i is Prometheus' bucket i+1.
func count(all []observed, scale int32, zero *int64) *histogram.FloatHistogram {
	h := &histogram.FloatHistogram{Schema: scale, Count: float64(len(all))}
	if zero != nil {
		h.ZeroThreshold = math.Exp2(float64(*zero) / 256)
	}
	fill := func(negative bool) ([]histogram.Span, []float64) {
		counts := map[int64]float64{}
		low, high := int64(math.MaxInt64), int64(math.MinInt64)
		for _, one := range all {
			if one.negative != negative || (zero != nil && one.index < *zero) {
				continue
			}
			index := floor(one.index, uint(fine-scale))
			counts[index]++
			low, high = min(low, index), max(high, index)
		}
		if len(counts) == 0 {
			return nil, nil
		}
		buckets := []float64{}
		for index := low; index <= high; index++ {
			buckets = append(buckets, counts[index])
		}
		return []histogram.Span{{Offset: int32(low + 1), Length: uint32(len(buckets))}}, buckets
	}
	h.PositiveSpans, h.PositiveBuckets = fill(false)
	h.NegativeSpans, h.NegativeBuckets = fill(true)
	if zero != nil {
		for _, one := range all {
			if one.index < *zero {
				h.ZeroCount++
			}
		}
	}
	return h
}

func told(h *histogram.FloatHistogram) point {
	p := point{Scale: h.Schema, ZeroThreshold: h.ZeroThreshold, ZeroCount: uint64(h.ZeroCount)}
	tell := func(spans []histogram.Span, buckets []float64) *side {
		if len(buckets) == 0 {
			return nil
		}
		s := side{Offset: int64(spans[0].Offset) - 1}
		at := 0
		for number, span := range spans {
			if number > 0 {
				for range span.Offset {
					s.Counts = append(s.Counts, 0)
				}
			}
			for range span.Length {
				s.Counts = append(s.Counts, uint64(buckets[at]))
				at++
			}
		}
		return &s
	}
	p.Positive, p.Negative = tell(h.PositiveSpans, h.PositiveBuckets), tell(h.NegativeSpans, h.NegativeBuckets)
	return p
}

func main() {
	random := rand.New(rand.NewSource(11))
	cases := []testCase{}
	for len(cases) < 200 {
		first, more := observe(random, 10), observe(random, 10)
		all := append(append([]observed{}, first...), more...)
		scales := []int32{fine - int32(random.Intn(10)), fine - int32(random.Intn(10))}
		threshold := func(scale int32) *int64 {
			if random.Intn(2) == 0 {
				return nil
			}
			zero := floor(random.Int63n(3000)-1500, uint(fine-scale)) << uint(fine-scale)
			return &zero
		}
		before, now := count(first, scales[0], threshold(scales[0])), count(all, scales[1], threshold(scales[1]))
		c := testCase{Before: told(before), Now: told(now), Quantiles: map[string]*float64{}}
		added, _, _, err := now.Copy().Sub(before.Copy())
		if err != nil {
			panic(err)
		}
		added.Compact(0)
		c.Added = told(added)
		for _, quantile := range []float64{0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99} {
			value, _ := promql.HistogramQuantile(quantile, added, "", posrange.PositionRange{})
			name := strconv.FormatFloat(quantile, 'g', -1, 64)
			if math.IsNaN(value) {
				c.Quantiles[name] = nil
			} else {
				c.Quantiles[name] = &value
			}
		}
		cases = append(cases, c)
	}
	if err := json.NewEncoder(os.Stdout).Encode(cases); err != nil {
		panic(err)
	}
}
