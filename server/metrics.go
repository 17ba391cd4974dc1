package server

import (
	"context"
	"maps"
	"runtime"
	"time"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/internal/version"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"github.com/seed-260924e6/hallmark/registry"
	"github.com/seed-260924e6/hallmark/server/datadir"
	"github.com/seed-260924e6/hallmark/server/listen"
)

// addLoginMetrics shows what becomes of logins.
func (s *Server) addLoginMetrics() {
	s.metrics.Counters("hallmark_logins_refused_total",
		"Logins that were wrong or had ended, by what they came with: password, secret (of a token or a robot), id_token (of a CI job), bearer, session.",
		"reason", func() map[string]float64 { return floats(s.access.Refused()) })
	for _, m := range []struct {
		name, help string
		count      func(access.LoginCounts) uint64
	}{
		{"hashed", "Passwords that took a hash.", func(n access.LoginCounts) uint64 { return n.Hashed }},
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
func (s *Server) addConnectionMetrics(g *listen.Guard) {
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

func (s *Server) addMetrics() {
	s.addRetentionMetrics()
	s.addMirrorMetrics()
	s.metrics.Info("hallmark_build_info", "Always 1: the version that runs, and the Go that it was built with.",
		map[string]string{"version": version.String(), "go": runtime.Version()})
	s.metrics.Counter("hallmark_records_total", "Records of pushes, deletes and everything else.", func() float64 {
		n, err := s.book.Len(context.Background())
		if err != nil {
			return 0
		}
		return float64(n)
	})
	s.metrics.Gauge("hallmark_uploads_in_flight", "Uploads begun and not ended.", func() float64 { return float64(s.registry.Uploads()) })
	s.metrics.Counter("hallmark_uploads_refused_total", "Uploads that were not begun because there were too many.", func() float64 {
		return float64(s.registry.UploadsRefused())
	})
	s.metrics.Counter("hallmark_collected_blobs_total", "Blobs that nothing needed and whose room was given back.", func() float64 {
		return float64(s.registry.Collected().Blobs)
	})
	s.metrics.Counter("hallmark_collected_bytes_total", "Bytes of these blobs.", func() float64 { return float64(s.registry.Collected().Bytes) })
	s.addScrubMetrics()
	s.addRemoteMetrics()
	s.addTrashMetrics()
	s.addQuotaMetrics()
	s.addPullMetrics()
	s.metrics.Gauge("hallmark_ready", "1 while the registry can do all of its work, 0 while /readyz?write fails.", func() float64 {
		return oneIf(len(s.unready(context.Background())) == 0)
	})
	s.metrics.Gauge("hallmark_ready_to_read", "1 while the registry serves what it has, 0 while /readyz fails.", func() float64 {
		return oneIf(len(onlyReads(s.unready(context.Background()))) == 0)
	})
	s.metrics.Gauge("hallmark_store_bytes", "Length of the store: of its file, or in its database.", func() float64 {
		n, _ := s.data.Store.Size() // 0 where it cannot be told
		return float64(n)
	})
	s.metrics.Gauge("hallmark_store_free_pages", "Pages of the store's file that hold nothing. Each commit lists them all.", func() float64 {
		if s.data.Embedded() == nil {
			return 0
		}
		free, _, _ := s.data.Embedded().FreePages() // 0 where it cannot be told
		return float64(free)
	})
	s.metrics.Gauge("hallmark_disk_free_bytes", "Room left on the disk of the blobs.", func() float64 {
		free, _, _ := s.data.Blobs.Free() // 0 where it cannot be told
		return float64(free)
	})
	s.metrics.Gauge("hallmark_notes_waiting", "What requests leave to be remembered, as the leases of blobs, and is not committed yet.", func() float64 {
		waiting, _ := s.registry.NotesWaiting()
		return float64(waiting)
	})
	s.metrics.Counter("hallmark_notes_dropped_total", "Of that, what found no room, because the store took no changes for too long.", func() float64 {
		_, lost := s.registry.NotesWaiting()
		return float64(lost)
	})
	s.addLoginMetrics()
	s.metrics.Counters("hallmark_policy_refusals_total", "Pushes, tags and pulls that a rule of the policy refused, by its name.",
		"rule", func() map[string]float64 { return floats(s.refused()) })
	s.metrics.Gauge("hallmark_backup_finished_seconds", "When the last whole backup was finished that was made beside the server, in seconds since 1970; 0 before the first.", s.backedUp)
	s.addWitnessMetrics()
	if s.keeper != nil {
		s.metrics.Gauge("hallmark_certificate_expires_seconds", "When the server's certificate ends, in seconds since 1970.", func() float64 {
			return float64(s.keeper.Certificate().NotAfter.Unix())
		})
	}
}

// backedUp is when the last backup was finished, in seconds since 1970, or 0 where that is not known.
func (s *Server) backedUp() float64 {
	kept, _ := s.data.Setting(context.Background(), datadir.SettingBackup) // "" where it cannot be read
	at, err := time.Parse(time.RFC3339, kept)
	if err != nil {
		return 0
	}
	return float64(at.Unix())
}

// addWitnessMetrics shows how far each witness is behind the log. One that fails is not there: nothing is known of it.
func (s *Server) addWitnessMetrics() {
	lags := func(value func(provenance.Lag) float64) func() map[string]float64 {
		return func() map[string]float64 {
			all := map[string]float64{}
			for _, w := range s.witnesses {
				if lag, err := s.book.LagOf(context.Background(), w); err == nil {
					all[checkpoint.KeyName(w.Name(), w.KeyHash())] = value(lag)
				}
			}
			return all
		}
	}
	s.metrics.Gauges("hallmark_log_uncosigned_records", "Records of the newest log that a witness has not cosigned yet.", "witness",
		lags(func(lag provenance.Lag) float64 { return float64(lag.Records) }))
	s.metrics.Gauges("hallmark_log_cosigned_seconds", "When a witness last cosigned, by its own clock, in seconds since 1970; 0 before the first time.", "witness",
		lags(func(lag provenance.Lag) float64 {
			if lag.Cosigned.IsZero() {
				return 0
			}
			return float64(lag.Cosigned.Unix())
		}))
}

// refused counts refusals by rule. Each rule in force is there: a metric that begins to exist with its first refusal shows no
// increase.
func (s *Server) refused() map[string]uint64 {
	all := map[string]uint64{}
	if set := s.engine.Rules(); set != nil {
		for _, r := range set.Rules {
			all[r.Name] = 0
		}
	}
	maps.Copy(all, s.registry.Refused())
	return all
}

func floats(counts map[string]uint64) map[string]float64 {
	all := make(map[string]float64, len(counts))
	for name, n := range counts {
		all[name] = float64(n)
	}
	return all
}

func (s *Server) addScrubMetrics() {
	scrubbed := func() registry.Scrubbed { return s.registry.Scrubbed(context.Background()) }
	s.metrics.Gauge("hallmark_blobs_damaged", "Blobs and manifests that are lost or damaged; 10000 stands for all beyond.", func() float64 { return float64(scrubbed().Damaged) })
	s.metrics.Counter("hallmark_scrub_blobs_total", "Blobs that were read and compared with their digests in the background.", func() float64 { return float64(scrubbed().Blobs) })
	s.metrics.Counter("hallmark_scrub_bytes_total", "Bytes of these, and of manifests.", func() float64 { return float64(scrubbed().Bytes) })
	s.metrics.Gauge("hallmark_scrub_finished_seconds", "When everything had last been read, in seconds since 1970; 0 before the first time.", func() float64 {
		return float64(scrubbed().Finished)
	})
}

func (s *Server) addTrashMetrics() {
	trashed := func() registry.Trashed {
		t, _ := s.registry.Trashed(context.Background()) // 0 where it cannot be told
		return t
	}
	s.metrics.Gauge("hallmark_trash_manifests", "Manifests in the trash.", func() float64 { return float64(trashed().Manifests) })
	s.metrics.Gauge("hallmark_trash_bytes", "Bytes of blobs that only the trash holds.", func() float64 { return float64(trashed().Bytes) })
	s.metrics.Gauge("hallmark_trash_deleted_seconds", "When the manifest that leaves the trash next was deleted, in seconds since 1970; 0 where the trash is empty.", func() float64 {
		at, _ := s.registry.NextOutOfTrash(context.Background())
		return seconds(at)
	})
}

// addQuotaMetrics shows how full quotas are, and what they refuse. Each quota is there, also one that refused nothing.
func (s *Server) addQuotaMetrics() {
	each := func(value func(registry.QuotaUse) float64) func() map[string]float64 {
		return func() map[string]float64 {
			all := map[string]float64{}
			uses, _ := s.registry.Quotas(context.Background()) // none where they cannot be read
			for _, u := range uses {
				all[u.Pattern.String()] = value(u)
			}
			return all
		}
	}
	s.metrics.Gauges("hallmark_quota_used_bytes", "Bytes that the repositories of a quota use.", "quota", each(func(u registry.QuotaUse) float64 { return float64(u.UsedBytes) }))
	s.metrics.Gauges("hallmark_quota_limit_bytes", "Bytes that they may use at most; 0 where that is not bounded.", "quota", each(func(u registry.QuotaUse) float64 { return float64(u.Bytes) }))
	s.metrics.Counters("hallmark_quota_refusals_total", "Uploads and pushes that a quota had no room for, by its pattern.", "quota", func() map[string]float64 {
		refused := s.registry.Full()
		return each(func(u registry.QuotaUse) float64 { return float64(refused[u.Pattern.String()]) })()
	})
	s.metrics.Counter("hallmark_quota_warnings_total", "Pushes that were answered with a warning, because a soft limit is exceeded.", func() float64 {
		return float64(s.registry.WarnedOfQuotas())
	})
}

func (s *Server) addPullMetrics() {
	s.metrics.Gauge("hallmark_pulls_since_seconds", "Since when every pull is counted, in seconds since 1970. Retention by pulls keeps what may have been pulled before.", func() float64 {
		since, _ := s.registry.PullsSince(context.Background())
		return seconds(since)
	})
	s.metrics.Counter("hallmark_pulls_unwritten_total", "How often writing which images were pulled failed. It is tried again.", func() float64 {
		return float64(s.registry.PullsUnwritten())
	})
}

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// seconds is a time in seconds since 1970; 0 where there is none.
func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.Unix())
}
