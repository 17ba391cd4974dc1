package main

import "github.com/seed-260924e6/hallmark/access"

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
