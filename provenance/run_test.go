package provenance

import "testing"

// TestRunAt wants the address of a run to find what its login proves, and nothing of another run, project or host.
func TestRunAt(t *testing.T) {
	github := &Login{Issuer: "https://token.actions.githubusercontent.com", Claims: map[string]string{"repository": "octo/app", "run_id": "9001", "run_attempt": "2", "sha": "c0ffee"}}
	gitlab := &Login{Issuer: "https://git.example", Claims: map[string]string{"project_path": "group/team/app", "job_id": "302", "pipeline_id": "574", "sha": "c0ffee"}}
	for address, c := range map[string]struct {
		handle string
		of     *Login // whose run it is, of these two
	}{
		"https://github.com/octo/app/actions/runs/9001":                {"octo/app", github},
		"https://github.com/octo/app/actions/runs/9001/":               {"octo/app", github},
		"https://github.com/octo/app/actions/runs/9001/attempts/2":     {"octo/app", github},
		"https://github.com/octo/app/actions/runs/9001/attempts/1":     {"octo/app", nil},
		"https://github.com/octo/app/actions/runs/9001/job/77?pr=3#x":  {"octo/app", github},
		"https://github.com/octo/app/actions/runs/9002":                {"octo/app", nil},
		"https://github.com/octo/other/actions/runs/9001":              {"octo/other", nil},
		"https://ghes.example/octo/app/actions/runs/9001":              {"octo/app", nil},
		"https://git.example/group/team/app/-/jobs/302":                {"group/team/app", gitlab},
		"https://git.example/group/team/app/-/pipelines/574":           {"group/team/app", gitlab},
		"https://git.example/group/team/app/-/jobs/574":                {"group/team/app", nil},
		"https://elsewhere.example/group/team/app/-/jobs/302":          {"group/team/app", nil},
		"https://git.example/group/team/app/-/jobs/":                   {},
		"https://git.example/-/jobs/302":                               {},
		"https://git.example/group/team/app/-/jobs/302x":               {},
		"https://git.example/group/team/app":                           {},
		"git.example/group/team/app/-/jobs/302":                        {},
		"https://github.com/octo/app/actions/runs/9001/attempts/2/x/y": {"octo/app", github},
	} {
		run, is := RunAt(address)
		if is != (c.handle != "") || is && run.Handle != c.handle {
			t.Errorf("%s: %v, %+v", address, is, run)
			continue
		}
		for name, l := range map[string]*Login{"GitHub's": github, "GitLab's": gitlab, "none": nil} {
			if is && run.signedIn(l) != (l != nil && l == c.of) {
				t.Errorf("%s: %s login is of it: %v", address, name, run.signedIn(l))
			}
		}
	}
}
