# `make check` is what CI runs first: it needs Go, make, a C compiler (for the race detector), curl, jq, openssl and strace.

LINT := go tool -modfile=tools/lint/go.mod
BUILD := CGO_ENABLED=0 go build -trimpath
VERSION ?=
LDFLAGS := -s -w $(if $(VERSION),-X github.com/seed-260924e6/hallmark/internal/version.release=$(VERSION))

.PHONY: run build man check lint test trips fuzz soak e2e bench load growth image tools clean vuln

run: ## run the registry from source
	go run ./cmd/hallmark serve

build: ## bin/hallmark, static
	$(BUILD) -ldflags '$(LDFLAGS)' -o bin/hallmark ./cmd/hallmark

man: ## the manual pages, in bin/man
	mkdir -p bin/man
	HALLMARK_MAN=$(CURDIR)/bin/man go test -count 1 -run '^TestMan$$' ./cmd/hallmark

# Tests flush what they write, and wait for it. What they show is that it is flushed, in order; so they may keep it in
# memory, where there is room for it and programs can be started from there.
MEMORY := $(shell tools/memory)
check: export TMPDIR := $(or $(MEMORY),$(TMPDIR),/tmp)

# Without the name of this directory in them, the packages of another clone with the same files need not be built again.
check lint fuzz: export GOFLAGS := $(shell go env GOFLAGS) -trimpath

# The race detector makes the hashing of passwords 12 times slower. The cipher alone goes without: it is arithmetic on one
# caller's memory.
RACE := -race -gcflags=golang.org/x/crypto/blowfish=-race=false

# Tests have memory to spare: with GOGC at 400 garbage is collected a quarter as often, which saves a tenth of their time.
check: lint ## format, lint and vet, race tests, script tests, a moment of fuzzing
	GORACE=atexit_sleep_ms=0 GOGC=400 go test $(RACE) -vet=off -timeout 30m -parallel 4 ./... # lint has vetted
	$(MAKE) fuzz FUZZTIME=1s

lint:
	$(LINT) golangci-lint config verify
	$(LINT) golangci-lint run ./...

test: ## the tests alone, without the race detector
	go test ./...

trips: ## how often each kind of request waits for the store, as an engine behind a network would have it
	@go test -count 1 -run '^TestTrips$$' -v ./server | grep '|'

FUZZTIME ?= 3s
fuzz: ## each fuzz target for FUZZTIME
	tools/fuzz $(FUZZTIME)

soak: ## the tests that are too long for each change: crashes, faults and load, by the half hour; wants strace
	go test -tags soak -count 1 -timeout 90m -run '^TestSoak' -v ./...

image: ## the container image hallmark:latest, from scratch
	mkdir -p bin/image/usr/local/bin bin/image/data
	$(BUILD) -ldflags '$(LDFLAGS)' -o bin/image/usr/local/bin/hallmark ./cmd/hallmark
	docker build -t hallmark:latest .

tools: ## the clients and servers that e2e and bench use, in bin/tools
	mkdir -p bin/tools
	cd tools/clients && CGO_ENABLED=0 go build -o ../../bin/tools/ tool
	cd tools/buildkit && CGO_ENABLED=0 go build -o ../../bin/tools/ tool
	cd tools/cosign && CGO_ENABLED=0 go build -o ../../bin/tools/ tool
	cd tools/regclient && CGO_ENABLED=0 go build -o ../../bin/tools/ tool
	cd tools/litewitness && CGO_ENABLED=0 go build -o ../../bin/tools/ tool
	cd tools/slsaverifier && CGO_ENABLED=0 go build -o ../../bin/tools/ tool
	cd tools/helm && CGO_ENABLED=0 go build -o ../../bin/tools/ tool
	cd tools/compose && CGO_ENABLED=0 go build -o ../../bin/tools/compose github.com/docker/compose/v2/cmd
	cd tools/upstream && CGO_ENABLED=0 go build -o ../../bin/tools/ tool
	cd tools/versitygw && CGO_ENABLED=0 go build -o ../../bin/tools/ tool

e2e: tools build image ## real clients against a real server; wants root, docker, skopeo, podman
	go test -tags e2e -count 1 -timeout 40m -v ./e2e
	HALLMARK_TOOLS=1 go test $(RACE) -count 1 -timeout 10m ./storage/s3/...
	HALLMARK_TOOLS=1 go test -count 1 -timeout 10m -run Remote ./server ./cmd/hallmark
	HALLMARK_TOOLS=1 HALLMARK_TEST_BLOBS=s3 go test -count 1 -timeout 15m ./registry ./mirror
	HALLMARK_TEST_STORE=postgres go test -count 1 -timeout 20m ./provenance/log ./provenance/evidence ./access/... ./retention ./mirror ./trust/policy ./server/...
	HALLMARK_TOOLS=1 HALLMARK_TEST_STORE=postgres HALLMARK_TEST_BLOBS=s3 go test -tags e2e -count 1 -timeout 15m -run '^(TestClients|TestConformance)$$' ./e2e
	HALLMARK_TOOLS=1 HALLMARK_TEST_BLOBS=s3 go test -count 1 -timeout 15m -run Sets ./server
	HALLMARK_TOOLS=1 HALLMARK_TEST_BLOBS=s3 go test -tags e2e -count 1 -timeout 15m -run '^(TestClients|TestConformance|TestDocker)$$' ./e2e
	cd tools/browser && go test -count 1 -timeout 20m -v .

RECORDS ?= 1000000
IMAGES ?= 200000
TAGS ?= 100000
IMPORTED ?= 10000
bench: build ## Hallmark against distribution's registry, side by side; then what records cost, and RECORDS of them; then pages, and retention
	mkdir -p bin/tools
	cd tools/upstream && CGO_ENABLED=0 go build -o ../../bin/tools/ tool
	go run ./cmd/bench -hallmark bin/hallmark -upstream bin/tools/registry
	$(BUILD) -ldflags '$(LDFLAGS)' -tags norecords -o bin/tools/hallmark-norecords ./cmd/hallmark
	go run ./cmd/bench -hallmark bin/hallmark -without-records bin/tools/hallmark-norecords
	go run ./cmd/bench -hallmark bin/hallmark -access
	go run ./cmd/bench -hallmark bin/hallmark -bounds -rounds 9
	go run ./cmd/bench -hallmark bin/hallmark -records $(RECORDS)
	go run ./cmd/bench -hallmark bin/hallmark -pages $(IMAGES) -records $(RECORDS)
	go run ./cmd/bench -hallmark bin/hallmark -retention $(TAGS)
	cd tools/versitygw && CGO_ENABLED=0 go build -o ../../bin/tools/ tool
	go run ./cmd/bench -hallmark bin/hallmark -blobs s3
	go run ./cmd/bench -hallmark bin/hallmark -upstream bin/tools/registry -import $(IMPORTED)

load: build ## 200 clients at once for 10 minutes; then small pulls beside a push of 10 GB
	go run ./cmd/bench -hallmark bin/hallmark -load 10m
	go run ./cmd/bench -hallmark bin/hallmark -fair 10000000000

growth: build ## what things cost in a registry of 10 images, and of 200,000
	go run ./cmd/bench -hallmark bin/hallmark -growth docs/growth.svg -rounds 3

vuln: ## known vulnerabilities, where their database can be reached
	$(LINT) govulncheck ./...

clean:
	rm -rf bin
