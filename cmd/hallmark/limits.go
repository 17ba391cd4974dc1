package main

import (
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/server/listen"
)

// addLoginMetrics shows what becomes of logins with passwords.
func (s *server) addLoginMetrics() {
	for _, m := range []struct {
		name, help string
		count      func(access.LoginCounts) uint64
	}{
		{"hashed", "Passwords that took a hash.", func(n access.LoginCounts) uint64 { return n.Hashed }},
		{"refused", "Logins with a wrong name or password.", func(n access.LoginCounts) uint64 { return n.Refused }},
		{"slowed", "Logins that were not looked at, after several wrong ones of that user from that address.", func(n access.LoginCounts) uint64 { return n.Slowed }},
		{"shed", "Logins that were not looked at because too many waited.", func(n access.LoginCounts) uint64 { return n.Shed }},
	} {
		s.metrics.Counter("hallmark_logins_"+m.name+"_total", m.help, func() float64 { return float64(m.count(s.access.Logins())) })
	}
	s.metrics.Gauge("hallmark_logins_waiting", "Logins that wait for their password to be checked.", func() float64 {
		return float64(s.access.Logins().Waiting)
	})
}

// addConnectionMetrics shows who is connected, and who is not let in.
func (s *server) addConnectionMetrics(g *listen.Guard) {
	s.metrics.Gauge("hallmark_connections_open", "Connections of clients.", func() float64 { return float64(g.Open()) })
	s.metrics.Counter("hallmark_connections_replaced_total", "Connections that were closed to make room for others.", func() float64 {
		return float64(g.Replaced())
	})
	s.metrics.Counter("hallmark_connections_refused_total", "Connections that were not let in, because all others were at work.", func() float64 {
		return float64(g.Refused())
	})
	s.metrics.Counter("hallmark_connections_stalled_total", "Requests that were cut because their client sent or took nothing for too long.", func() float64 {
		return float64(s.stall.Cut())
	})
}
