# gosv: see README.md. Everything that is built lands in bin/ and in
# internal/image/kernels/, nothing else is touched.

GO      ?= go
KERNELS := internal/image/kernels
# The kernel's packages call functions of the runtime that are not public, in their host tests too.
GOTEST  := $(GO) test -ldflags=-checklinkname=0
# What nobody calls is a change that a merge has lost, or one that has left something behind.
STATICCHECK := $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 -checks U1000
# The kernel and mkkernel know this toolchain's runtime; the go command fetches it if it is another.
export GOTOOLCHAIN := go1.26.8

SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
PACKAGES := qemu-system-x86 curl wrk busybox-static musl-tools gcc libc6-dev erofs-utils linux-image-cloud-amd64 cpio lz4 strace gdb zlib1g-dev libsqlite3-dev liblua5.4-dev

.PHONY: all kernels deps hello test testnet std stress bench pgo fuzz docs clean

all: bin/gosv

# The go command knows what is up to date: let it decide.
kernels:
	@mkdir -p bin
	$(GO) run ./cmd/mkkernel -o $(KERNELS)/gosv.elf
	$(GO) run ./cmd/mkkernel -net -o $(KERNELS)/gosv-net.elf
	$(GO) run ./cmd/mkkernel -entry loader -o bin/gosv-loader.elf
	$(GO) run ./cmd/mkkernel -entry linux64 -o bin/gosv-linux64.elf

.PHONY: bin/gosv
bin/gosv: kernels
	$(GO) run ./cmd/mkkernel -host -o bin/gosv

# What make hello and make test need of Debian, if it is not there.
deps:
	@command -v $(GO) >/dev/null || { echo "gosv needs Go, 1.21 or newer: https://go.dev/dl" >&2; exit 1; }
	@case "$$($(GO) version)" in *" go1."[0-9]" "*|*" go1."[0-9].*|*" go1.1"[0-9]*|*" go1.20"*) \
		echo "$$($(GO) version) cannot fetch the $(GOTOOLCHAIN) that gosv is built with: install Go 1.21 or newer: https://go.dev/dl" >&2; exit 1;; esac
	@command -v dpkg-query >/dev/null || { echo "not Debian: install the equivalents of: $(PACKAGES)" >&2; exit 1; }
	@missing=; for p in $(PACKAGES); do \
		dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then echo "installing$$missing"; \
		$(SUDO) apt-get update -qq && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; fi

hello: PACKAGES = qemu-system-x86
hello: deps all
	bin/gosv run ./examples/hello

test: deps all
	$(GO) vet -asmdecl=false -unsafeptr=false ./...
	$(STATICCHECK) ./...
	$(MAKE) --no-print-directory testnet
	$(GOTEST) -timeout 40m $$($(GO) list ./... | grep -vxE 'gosv/(kernel/net|internal/network)')

# The tests of the networks, with netstack as it is in the kernel and in bin/gosv, which is not as in its module.
testnet:
	$(GO) run ./cmd/mkkernel -test -- -timeout 10m ./kernel/net
	$(GO) run ./cmd/mkkernel -host -test -- -timeout 10m ./internal/network

# The Go standard library's own tests, all packages of them: an hour or two.
std: deps all
	$(GOTEST) -timeout 0 -run '^TestStd$$' ./test -v -std all

# A thousand boots on QEMU, a hundred on Firecracker, a million random system calls, hundreds of killed gosv, all devices by KVM; a gigabyte each way,
# ten thousand connections, hundreds of thousands of requests, floods of packets.
stress: deps all
	$(GOTEST) -timeout 180m -run 'Stress|Chaos|SlowReader|Killed|DevicesKVM|Gigabyte|TenThousand|Load$$|Floods' ./test -stress

bench: deps all
	$(GO) run ./bench

# The profile that the kernel with a network is built with, anew: when much has changed in what a request goes through.
pgo: deps all
	$(GO) run ./bench -pgo kernel/withnet/default.pgo

# Each fuzz target for a while.
fuzz:
	@grep -rl '^func Fuzz' --include='*_test.go' . | while read -r f; do \
		grep -o '^func Fuzz[A-Za-z0-9_]*' $$f | sed 's/func //' | while read -r t; do \
			echo "$$t in $$(dirname $$f)"; $(GOTEST) -run '^$$' -fuzz "^$$t\$$" -fuzztime $${FUZZTIME:-30s} -fuzzminimizetime 10x $$(dirname $$f) || exit 1; done || exit 1; done

# The pages that are generated from the code.
docs:
	$(GOTEST) ./kernel/linux -run TestDocs -update

clean:
	rm -rf bin $(KERNELS)/*.elf test/bin
