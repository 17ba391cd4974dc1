package web

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// A target is what a path under /r/ names: a repository, one image of it, or the history of one tag.
type target struct {
	Repository string
	Ref        string // a tag or a digest, or ""
	History    string // a tag, or ""
	Remove     bool   // the page that removes tags
	Delete     bool   // the page that deletes images
}

// parseTarget reads the path behind /r/. A segment "-" ends a repository's name.
func parseTarget(path string) (target, bool) {
	path = strings.TrimSuffix(path, "/")
	if repo, rest, ok := strings.Cut(path, "/-/"); ok {
		switch rest {
		case "remove":
			return target{Repository: repo, Remove: true}, repo != ""
		case "delete":
			return target{Repository: repo, Delete: true}, repo != ""
		}
		tag, isHistory := strings.CutPrefix(rest, "history/")
		return target{Repository: repo, History: tag}, isHistory && repo != "" && tag != "" && !strings.Contains(tag, "/")
	}
	if repo, digest, ok := strings.Cut(path, "@"); ok {
		repo, _, _ = strings.Cut(repo, ":") // a tag beside a digest says nothing that the digest does not
		return target{Repository: repo, Ref: digest}, repo != "" && digest != ""
	}
	if repo, tag, ok := strings.Cut(path, ":"); ok {
		return target{Repository: repo, Ref: tag}, repo != "" && tag != ""
	}
	return target{Repository: path}, path != ""
}

// The addresses of pages.

func repoURL(repo string) string { return (&url.URL{Path: "/r/" + repo}).EscapedPath() }

func imageURL(repo string, ref any) string {
	s := text(ref)
	sep := ":"
	if strings.Contains(s, ":") {
		sep = "@"
	}
	return (&url.URL{Path: "/r/" + repo + sep + s}).EscapedPath()
}

func historyURL(repo, tag string) string { return repoURL(repo) + "/-/history/" + url.PathEscape(tag) }

func removeURL(repo string) string { return repoURL(repo) + "/-/remove" }

func deleteURL(repo string) string { return repoURL(repo) + "/-/delete" }

func recordURL(index uint64) string { return "/-/record/" + strconv.FormatUint(index, 10) }

// recordsURL is the page of the records that a filter finds; pairs are names and values.
func recordsURL(pairs ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	return "/-/records?" + q.Encode()
}

// trashURL is the trash of a repository, or of all where it is "".
func trashURL(repo string) string {
	if repo == "" {
		return "/-/trash"
	}
	return "/-/trash?" + url.Values{"repo": {repo}}.Encode()
}

func searchURL(q any) string { return "/search?" + url.Values{"q": {text(q)}}.Encode() }

// The same in the API.

func homeAPI(*http.Request) string { return "/api/v1/repositories" }

func belowAPI(r *http.Request) string {
	at, ok := parseTarget(r.PathValue("path"))
	switch query := (url.Values{"repo": {at.Repository}}); {
	case !ok:
		return "/api/v1/repositories"
	case at.History != "":
		query.Set("tag", at.History)
		return "/api/v1/history?" + query.Encode()
	case at.Ref != "":
		query.Set("ref", at.Ref)
		return "/api/v1/image?" + query.Encode()
	default:
		return "/api/v1/tags?" + query.Encode()
	}
}

func recordAPI(r *http.Request) string {
	return "/api/v1/records/" + url.PathEscape(r.PathValue("index"))
}

func recordsAPI(r *http.Request) string { return "/api/v1/records?" + r.URL.RawQuery }

func usageAPI(r *http.Request) string { return "/api/v1/usage?" + r.URL.RawQuery }

func trashAPI(r *http.Request) string { return "/api/v1/trash?" + r.URL.RawQuery }

func mirrorsAPI(*http.Request) string { return "/api/v1/mirrors" }

func searchAPI(r *http.Request) string { return "/api/v1/search?" + r.URL.RawQuery }
