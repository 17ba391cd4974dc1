package obs

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics are the server's Prometheus metrics, in a registry of their own: what libraries register
// globally is not ours to show.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	received *prometheus.CounterVec
	sent     *prometheus.CounterVec
	inFlight prometheus.Gauge
	commits  *prometheus.CounterVec
	commit   prometheus.Histogram
	grouped  prometheus.Histogram
	series   sync.Map // of seriesKey to *series
}

// seriesKey is the labels of a request: few, because routes, methods and statuses are.
type seriesKey struct {
	route, method string
	status        int
}

// series are the metrics of requests with the same labels. Finding them by their labels takes longer than
// answering a small request should.
type series struct {
	requests, received, sent prometheus.Counter
	seconds                  prometheus.Observer
}

func (m *Metrics) seriesOf(route, method string, status int) *series {
	key := seriesKey{route, method, status}
	if s, ok := m.series.Load(key); ok {
		return s.(*series)
	}
	s, _ := m.series.LoadOrStore(key, &series{
		requests: m.requests.WithLabelValues(route, method, strconv.Itoa(status)),
		seconds:  m.seconds.WithLabelValues(route, method),
		received: m.received.WithLabelValues(route),
		sent:     m.sent.WithLabelValues(route),
	})
	return s.(*series)
}

// NewMetrics returns metrics that have counted nothing yet.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hallmark_http_requests_total", Help: "Requests answered, by route, method and status.",
		}, []string{"route", "method", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "hallmark_http_request_seconds", Help: "Time from the first byte of the request to the last of the answer.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60, 600},
		}, []string{"route", "method"}),
		received: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hallmark_http_received_bytes_total", Help: "Bytes of request bodies read.",
		}, []string{"route"}),
		sent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hallmark_http_sent_bytes_total", Help: "Bytes of answers' bodies written.",
		}, []string{"route"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "hallmark_http_requests_in_flight", Help: "Requests being answered now.",
		}),
		commits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hallmark_store_commits_total", Help: "Commits of the store, by outcome.",
		}, []string{"outcome"}),
		commit: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "hallmark_store_commit_seconds", Help: "Time of a commit of the store, flushes included.",
			Buckets: prometheus.ExponentialBuckets(.0001, 2, 16),
		}),
		grouped: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "hallmark_store_commit_updates", Help: "Updates that shared one commit.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 9),
		}),
	}
	m.registry.MustRegister(m.requests, m.seconds, m.received, m.sent, m.inFlight, m.commits, m.commit, m.grouped,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Gauge adds a metric that is read when somebody looks.
func (m *Metrics) Gauge(name, help string, read func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read))
}

// Info adds a metric that is always 1, and says something by its labels.
func (m *Metrics) Info(name, help string, labels map[string]string) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, func() float64 { return 1 }))
}

// Counter adds a metric that only grows and is read when somebody looks.
func (m *Metrics) Counter(name, help string, read func() float64) {
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, read))
}

// Counters adds a metric with one series that only grows for each value of a label. It is read when somebody looks, and
// the reader bounds the values.
func (m *Metrics) Counters(name, help, label string, read func() map[string]float64) {
	m.addSeries(prometheus.CounterValue, name, help, label, read)
}

// Gauges adds a metric with one series for each value of a label, as Counters does.
func (m *Metrics) Gauges(name, help, label string, read func() map[string]float64) {
	m.addSeries(prometheus.GaugeValue, name, help, label, read)
}

func (m *Metrics) addSeries(kind prometheus.ValueType, name, help, label string, read func() map[string]float64) {
	m.registry.MustRegister(labelled{prometheus.NewDesc(name, help, []string{label}, nil), kind, read})
}

// labelled is a prometheus.Collector of one metric with one label.
type labelled struct {
	about *prometheus.Desc
	kind  prometheus.ValueType
	read  func() map[string]float64
}

// Describe implements prometheus.Collector.
func (l labelled) Describe(all chan<- *prometheus.Desc) { all <- l.about }

// Collect implements prometheus.Collector.
func (l labelled) Collect(all chan<- prometheus.Metric) {
	for value, n := range l.read() {
		all <- prometheus.MustNewConstMetric(l.about, l.kind, n, value)
	}
}

// Commit counts a commit of the store.
func (m *Metrics) Commit(updates int, took time.Duration, err error) {
	outcome := "done"
	if err != nil {
		outcome = "failed"
	}
	m.commits.WithLabelValues(outcome).Inc()
	m.commit.Observe(took.Seconds())
	m.grouped.Observe(float64(updates))
}

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}
