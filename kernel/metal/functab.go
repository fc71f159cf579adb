package metal

import "unsafe"

// The Go runtime checks at its start that its table of functions is sorted (see
// runtime.moduledataverify1), at ten instructions a function: a twelfth of a
// boot. mkkernel did that already, so the table has only its first and its last
// entry until the check is over.

// moduledata is runtime.moduledata up to ftab.
type moduledata struct {
	_    [16]uintptr
	ftab []functab
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
