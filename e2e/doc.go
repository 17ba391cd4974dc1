// Package e2e drives real clients against a real server: a real Docker engine, podman, skopeo, crane,
// oras, BuildKit, containerd, curl; real TLS by a name that is really resolved; real trust stores. It
// changes the machine it runs on (/etc/hosts, certs.d) and puts it back. `make e2e` runs it.
package e2e
