package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// retained is a repository of many tags of which a rule lets a quarter go.
type retained struct {
	*growth
	program, rules, plan string
	pushed               int     // images that others have pushed
	own                  float64 // seconds that the verb of the last act computed
}

// runRetention fills a repository with so many tags, each of an image of its own, plans by a rule that lets a quarter of them go with their images,
// and applies the plan. It tells how long both take, and what others' pushes take meanwhile, beside what they take alone.
func runRetention(ctx context.Context, program, dir string, tags int) error {
	r := &retained{program: program, rules: filepath.Join(dir, "rules.yaml"), plan: filepath.Join(dir, "plan.jsonl")}
	rules := fmt.Sprintf("untagged: {keep: 0s}\nrules: [{name: newest, repositories: growth/**, keep: {newest: %d}}]\n", tags-tags/4)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(r.rules, []byte(rules), 0o600); err != nil {
		return err
	}
	s, err := startHallmark(ctx, program, filepath.Join(dir, "hallmark"), "HALLMARK_RETENTION_FILE="+r.rules)
	if err != nil {
		return err
	}
	defer s.stop()
	r.growth = &growth{s: s, one: true}
	fmt.Fprintf(os.Stderr, "pushing %d tags\n", tags)
	repo, _ := r.image(0)
	base, err := newImagesOf(repo, 16<<10, 0, 1)
	if err != nil {
		return err
	}
	if err := r.fillRepo(ctx, base[0], 0, tags); err != nil {
		return err
	}
	fmt.Printf("| retention of %d tags | took | CPU of the server | of the command | pushes of others meanwhile | median | p99 | memory of the server, at most |\n| --- | --: | --: | --: | --: | --: | --: | --: |\n", tags)
	return r.measure(ctx)
}

// measure plans three times, and applies the last plan: parts of it in turn with nothing, as the machine may be busy with other work, then the rest.
func (r *retained) measure(ctx context.Context) error {
	plan := func() error { return r.run(ctx, "plan", "-o", r.plan) }
	alone := func() error { time.Sleep(turn); return nil }
	part := func() error { return r.applyPart(ctx) }
	for _, act := range []struct {
		name string
		it   func() error
	}{
		{"nothing", alone},
		{"plan", plan},
		{"plan", plan},
		{"plan", plan},
		{"nothing", alone},
		{"part of apply", part},
		{"nothing", alone},
		{"part of apply", part},
		{"nothing", alone},
		{"part of apply", part},
		{"nothing", alone},
		{"part of apply", part},
		{"nothing", alone},
		{"part of apply", part},
		{"apply, the rest", func() error { return r.run(ctx, "apply", r.plan) }},
		{"nothing, behind it", alone},
	} {
		if err := r.besidePushes(act.name, act.it); err != nil {
			return fmt.Errorf("%s: %w", act.name, err)
		}
	}
	return nil
}

// turn is how long nothing is done, and a part of a plan applied, in turn.
const turn = 10 * time.Second

// applyPart applies the plan until its turn is over: what is done is done when the command goes away.
func (r *retained) applyPart(ctx context.Context) error {
	within, cancel := context.WithTimeout(ctx, turn)
	defer cancel()
	err := r.run(within, "apply", r.plan)
	if within.Err() != nil && ctx.Err() == nil {
		return nil
	}
	return err
}

// run runs a verb of retention as an administrator does.
func (r *retained) run(ctx context.Context, args ...string) error {
	args = append(append([]string{"retention"}, args...), "--server", "https://"+r.s.address, "--ca", filepath.Join(r.s.dir, "certs/ca.pem"))
	cmd := exec.CommandContext(ctx, r.program, args...)
	cmd.Env = append(os.Environ(), "HALLMARK_USER=admin", "HALLMARK_PASSWORD="+password)
	said, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, said)
	}
	r.own = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	_, err = os.Stderr.Write(said)
	return err
}

// besidePushes does something while a client pushes small images into other repositories, one after another.
func (r *retained) besidePushes(name string, act func() error) error {
	r.own = 0
	stop := r.s.watchMemory()
	ended, took, pushes := make(chan struct{}), []float64{}, make(chan error, 1)
	go func() { pushes <- r.pushUntil(ended, &took) }()
	before, err := r.s.cpuSeconds()
	if err != nil {
		return err
	}
	begun := time.Now()
	err = act()
	lasted := time.Since(begun)
	after, cpuErr := r.s.cpuSeconds()
	close(ended)
	for _, other := range []error{<-pushes, stop(), cpuErr} {
		if err == nil {
			err = other
		}
	}
	if err != nil {
		return err
	}
	slices.Sort(took)
	fmt.Printf("| %s | %.1f s | %.1f s | %.1f s | %d | %.1f ms | %.1f ms | %.0f MB |\n", name, lasted.Seconds(), after-before, r.own, len(took), median(took),
		took[len(took)*99/100], float64(r.s.peak)/1e6)
	return nil
}

// pushUntil pushes images, and notes how many milliseconds each took.
func (r *retained) pushUntil(ended <-chan struct{}, took *[]float64) error {
	c, err := r.s.dial()
	if err != nil {
		return err
	}
	defer c.close()
	for {
		images, err := newImagesOf(fmt.Sprintf("others/app-%d", r.pushed%perRepo), 16<<10, r.pushed, 1)
		if err != nil {
			return err
		}
		r.pushed++
		begun := time.Now()
		if err := images[0].push(c, monolithic); err != nil {
			return err
		}
		*took = append(*took, time.Since(begun).Seconds()*1e3)
		select {
		case <-ended:
			return nil
		default:
		}
	}
}
