package metal

import "unsafe"

// The Go runtime checks at its start that its table of functions is sorted (see
// runtime.moduledataverify1), at ten instructions a function: a twelfth of a
// boot. mkkernel did that already, so the table has only its first and its last
// entry until the check is over.

// moduledata is runtime.moduledata up to itablinks.
type moduledata struct {
	_         [16]uintptr
	ftab      []functab
	_         [29]uintptr
	itablinks []uintptr
}

type functab struct{ _, _ uint32 }

//go:linkname firstmoduledata runtime.firstmoduledata
var firstmoduledata moduledata

var (
	allFuncs   []functab
	briefFuncs [2]functab
)

func hideFuncs() {
	allFuncs = firstmoduledata.ftab
	briefFuncs = [2]functab{allFuncs[0], allFuncs[len(allFuncs)-1]}
	firstmoduledata.ftab = unsafe.Slice(&briefFuncs[0], len(briefFuncs))
}

// showFuncs is called before anyone looks a function up.
func showFuncs() {
	if allFuncs != nil {
		firstmoduledata.ftab, allFuncs = allFuncs, nil
	}
}

// itabTable is the runtime's hash table of itabs: their addresses behind two words, how
// many there is room for and how many there are.
//
//go:linkname itabTable runtime.itabTable
var itabTable uintptr

// useItabs gives the runtime the table that mkkernel has made, if there are more itabs
// than its first one has room for. They would be 100,000 instructions of a boot. The
// runtime will add to it, so it is copied to memory that can be written.
func useItabs() {
	l := firstmoduledata.itablinks
	n := uintptr(cap(l))
	if n == uintptr(len(l)) {
		return
	}
	base := nextVA
	nextVA += (n*8 + 4095) &^ 4095
	for p := base; p < nextVA; p += 4096 {
		mapHeap(p)
	}
	copy(unsafe.Slice((*uintptr)(unsafe.Pointer(base)), n), l[:n])
	itabTable = base
}
