package oidc_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/access/oidc"
)

// others are CI systems that have no kind of their own, each with a token made after what it publishes. The table in docs/ci.md is held
// against them.
var others = []struct {
	name, issuer string
	ids, claims  []string
	token        map[string]any
	lost         []string // claims of the configuration that this token does not have
}{
	{
		"Buildkite", "https://agent.buildkite.com",
		[]string{"pipeline_id", "organization_id"},
		[]string{"organization_slug", "pipeline_slug", "build_branch", "build_commit", "step_key"},
		map[string]any{
			"sub": "organization:acme:pipeline:app:ref:refs/heads/main:commit:9f3182061f1e2cca4702c368cbc039b7dc9d4485:step:build", "organization_slug": "acme", "pipeline_slug": "app", "build_number": 1,
			"build_branch": "main", "build_commit": "9f3182061f1e2cca4702c368cbc039b7dc9d4485", "step_key": "build", "job_id": "0184990a-477b-4fa8-9968-496074483cee", "agent_id": "0184990a-4782-42b5-afc1-16715b10b8ff",
			"runner_environment": "self-hosted", "pipeline_id": "0184990a-4782-42b5-afc1-16715b10b8fe", "organization_id": "0184990a-4782-42b5-afc1-16715b10b8fd", "agent_tag:queue": "default",
		},
		nil,
	},
	{
		"CircleCI", "https://oidc.circleci.com/org/ORGANIZATION",
		[]string{"oidc.circleci.com/project-id"},
		[]string{"oidc.circleci.com/vcs-origin", "oidc.circleci.com/vcs-ref", "oidc.circleci.com/ssh-rerun"},
		map[string]any{
			"sub": "org/1b1f/project/7c4d/user/55aa/vcs-origin/github.com/acme/app/vcs-ref/refs/heads/main", "oidc.circleci.com/project-id": "7c4d", "oidc.circleci.com/context-ids": []any{"a", "b"},
			"oidc.circleci.com/vcs-origin": "github.com/acme/app", "oidc.circleci.com/vcs-ref": "refs/heads/main", "oidc.circleci.com/ssh-rerun": false,
		},
		nil,
	},
	{
		"Bitbucket Pipelines", "https://api.bitbucket.org/2.0/workspaces/WORKSPACE/pipelines-config/identity/oidc",
		[]string{"repositoryUuid"},
		[]string{"branchName", "deploymentEnvironmentUuid", "pipelineUuid"},
		map[string]any{
			"sub": "{7d1a}:{0f31}:{b2c4}", "repositoryUuid": "{7d1a}", "workspaceUuid": "{11aa}", "branchName": "main", "pipelineUuid": "{33cc}", "stepUuid": "{b2c4}", "accountId": "557058:mona",
		},
		[]string{"deploymentEnvironmentUuid"},
	},
	{
		"Kubernetes", "that of the cluster",
		[]string{"kubernetes.io/serviceaccount/uid"},
		[]string{"kubernetes.io/namespace", "kubernetes.io/serviceaccount/name"},
		map[string]any{
			"sub": "system:serviceaccount:prod:builder", "kubernetes.io": map[string]any{
				"namespace": "prod", "node": map[string]any{"name": "n", "uid": "n-1"}, "pod": map[string]any{"name": "p", "uid": "p-1"}, "serviceaccount": map[string]any{"name": "builder", "uid": "a-1"}, "warnafter": 1795593660,
			},
		},
		nil,
	},
	{
		"HCP Terraform", "https://app.terraform.io",
		[]string{"terraform_workspace_id", "terraform_organization_id"},
		[]string{"terraform_workspace_name", "terraform_project_id", "terraform_run_phase"},
		map[string]any{
			"sub": "organization:acme:project:infra:workspace:app:run_phase:apply", "terraform_run_phase": "apply", "terraform_workspace_id": "ws-mQfVtVn6BHWC8Ah5", "terraform_workspace_name": "app",
			"terraform_organization_id": "org-GRNbCjYNpBB6NEBH", "terraform_organization_name": "acme", "terraform_project_id": "prj-vegSA59s1XPwMr2t", "terraform_project_name": "infra", "terraform_run_id": "run-d2Gd", "terraform_full_workspace": "x",
		},
		nil,
	},
	{
		"Spacelift", "https://ACCOUNT.app.spacelift.io",
		[]string{"spaceId"},
		[]string{"callerType", "callerId", "runType", "scope"},
		map[string]any{
			"sub": "space:root-01HX:stack:app:run_type:TRACKED:scope:write", "spaceId": "root-01HX", "callerType": "stack", "callerId": "app", "runType": "TRACKED", "runId": "01HY", "scope": "write",
		},
		nil,
	},
	{
		"Semaphore", "https://ORGANIZATION.semaphoreci.com",
		[]string{"prj_id"},
		[]string{"repo", "ref", "ref_type"},
		map[string]any{
			"sub": "org:acme:project:936a5312:repo:web:ref_type:branch:ref:refs/heads/main", "prj_id": "936a5312", "repo": "web", "ref": "refs/heads/main", "ref_type": "branch", "wf_id": "w", "ppl_id": "p", "job_id": "j",
		},
		nil,
	},
	{
		"Codefresh", "https://oidc.codefresh.io",
		[]string{"account_id", "pipeline_id"},
		[]string{"account_name", "pipeline_name", "scm_repo_url", "scm_ref", "workflow_id"},
		map[string]any{
			"sub": "account:628a:pipeline:6542:scm_repo_url:https://github.com/acme/app:scm_user_name:mona:scm_ref:main", "account_id": "628a", "account_name": "acme", "pipeline_id": "6542", "pipeline_name": "app/build",
			"scm_repo_url": "https://github.com/acme/app", "scm_ref": "main", "scm_user_name": "mona", "workflow_id": "65b1", "initiator": "mona", "platform_url": "https://g.codefresh.io",
		},
		nil,
	},
	{
		"Google Cloud Build", "https://accounts.google.com",
		[]string{"sub"},
		nil,
		map[string]any{"sub": "112010400000000710080", "email": "builder@acme.iam.gserviceaccount.com", "email_verified": true, "azp": "112010400000000710080"},
		nil,
	},
}

// TestOthers signs jobs in with such tokens. Their ids and the claims that are configured are kept, and nothing else.
func TestOthers(t *testing.T) {
	page, err := os.ReadFile("../../docs/ci.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range others {
		w := newWorld(t, func(i *oidc.Issuer) { i.Kind, i.IDs, i.Claims = "generic", o.ids, o.claims })
		j, err := w.verify(w.Token(w.Kubernetes(audience, w.clock, o.token)))
		if err != nil {
			t.Errorf("%s: %v", o.name, err)
			continue
		}
		want := map[string]bool{"sub": true}
		for _, name := range append(append([]string{}, o.ids...), o.claims...) {
			want[name] = true
		}
		for _, name := range o.lost {
			delete(want, name)
		}
		if sub := j.Claims["sub"]; strings.Contains(sub, "mona") || strings.Contains(sub, "55aa") || (sub != o.token["sub"]) != slices.Contains([]string{"CircleCI", "Codefresh"}, o.name) {
			t.Errorf("%s: the subject is kept as %s", o.name, sub)
		}
		for name := range want {
			if j.Claims[name] == "" {
				t.Errorf("%s: the claim %s is not kept", o.name, name)
			}
		}
		if len(j.Claims) != len(want) {
			t.Errorf("%s: %v", o.name, maps.Collect(maps.All(j.Claims)))
		}
		if id := o.ids[0]; j.Account != w.URL+"#"+id+"="+j.Claims[id] && id != "sub" {
			t.Errorf("%s: the account is %s", o.name, j.Account)
		}
		issuer := o.issuer
		if strings.Contains(issuer, "://") {
			issuer = "`" + issuer + "`"
		}
		row := fmt.Sprintf("| %s | %s | %s | %s |\n", o.name, issuer, quoted(o.ids), quoted(o.claims))
		if !strings.Contains(string(page), row) {
			t.Errorf("docs/ci.md lacks the row\n%s", row)
		}
	}
}

func quoted(names []string) string {
	if len(names) == 0 {
		return "–"
	}
	return "`" + strings.Join(names, "`, `") + "`"
}
