package tmpfs

import (
	"slices"

	"gosv/kernel/fs"
)

// pageIndex has a file's pages by their number in the file. Pages stand in
// groups, groups in a list by number: a file is mostly written from its start
// to its end, and then the last group is the one that is wanted.
type pageIndex struct {
	groups []group
	count  int64 // pages
}

const (
	groupBits = 5
	groupSize = 1 << groupBits
)

type page = [fs.PageSize]byte

type group struct {
	number int64 // of its first page, in groups
	pages  *[groupSize]*page
	clean  uint32 // which of them nobody has written since they were allocated: zeros
}

// find returns where the group of the given number is, or would be.
func (x *pageIndex) find(number int64) (int, bool) {
	last := len(x.groups) - 1
	switch {
	case last < 0 || x.groups[last].number < number:
		return last + 1, false
	case x.groups[last].number == number:
		return last, true
	}
	return slices.BinarySearchFunc(x.groups, number, func(g group, n int64) int {
		if g.number < n {
			return -1
		} else if g.number > n {
			return 1
		}
		return 0
	})
}

// get returns a page, nil if there is none.
func (x *pageIndex) get(i int64) *page {
	if g, ok := x.find(i >> groupBits); ok {
		return x.groups[g].pages[i&(groupSize-1)]
	}
	return nil
}

// set puts a page where none is.
func (x *pageIndex) set(i int64, p *page) {
	g, ok := x.find(i >> groupBits)
	if !ok {
		x.groups = append(x.groups, group{}) // slices.Insert would be ten times as large
		copy(x.groups[g+1:], x.groups[g:])
		x.groups[g] = group{i >> groupBits, new([groupSize]*page), 0}
	}
	x.groups[g].pages[i&(groupSize-1)] = p
	x.groups[g].clean &^= 1 << (i & (groupSize - 1))
	x.count++
}

// isClean says whether a page that is there is one that nobody wrote, and setClean that it is.
func (x *pageIndex) isClean(i int64) bool {
	g, _ := x.find(i >> groupBits)
	return x.groups[g].clean>>(i&(groupSize-1))&1 != 0
}

func (x *pageIndex) setClean(i int64, clean bool) {
	g, _ := x.find(i >> groupBits)
	if bit := uint32(1) << (i & (groupSize - 1)); clean {
		x.groups[g].clean |= bit
	} else {
		x.groups[g].clean &^= bit
	}
}

// next returns the number of the first page from i on, -1 if there is none.
func (x *pageIndex) next(i int64) int64 {
	g, ok := x.find(i >> groupBits)
	for j := i & (groupSize - 1); g < len(x.groups); g, j, ok = g+1, 0, false {
		if !ok {
			j = 0
		}
		for ; j < groupSize; j++ {
			if x.groups[g].pages[j] != nil {
				return x.groups[g].number<<groupBits + j
			}
		}
	}
	return -1
}

// remove takes the pages from lo up to and without hi away, and gives them to free.
func (x *pageIndex) remove(lo, hi int64, free func(p *page)) {
	first, _ := x.find(lo >> groupBits)
	keep := first
	for g := first; g < len(x.groups); g++ {
		e, left := x.groups[g], false
		for j, p := range e.pages {
			if p == nil {
				continue
			}
			if i := e.number<<groupBits + int64(j); i < lo || i >= hi {
				left = true
				continue
			}
			e.pages[j] = nil
			x.count--
			free(p)
		}
		if left {
			x.groups[keep] = e
			keep++
		}
	}
	clear(x.groups[keep:])
	x.groups = x.groups[:keep]
}
