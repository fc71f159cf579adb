// Package guest is the guest kernel: it runs one Linux program on the machine that
// metal has booted.
package guest

import (
	"errors"
	"strconv"

	"gosv/internal/appimage"
	"gosv/kernel/boot"
	"gosv/kernel/console"
	"gosv/kernel/devices"
	"gosv/kernel/fs"
	"gosv/kernel/fs/erofs"
	"gosv/kernel/fs/tmpfs"
	"gosv/kernel/gotimer"
	"gosv/kernel/linux"
	"gosv/kernel/metal"
	"gosv/kernel/mm"
	"gosv/kernel/virtio"
)

// Exit codes (docs/contracts.md).
const (
	exitFailed     = 125
	exitNoExec     = 126
	exitNoSuchFile = 127
)

// Device numbers of the root file system and of the image beneath it.
const (
	rootDevice  = 1
	imageDevice = 2
)

// Network is what a kernel with a network has that the other has not.
type Network struct {
	// Start gives k the network, before the program runs.
	Start func(k *linux.Kernel, log func(string))

	// Attach adds a network device to it.
	Attach func(d *virtio.Device) error
}

// Main starts the program, and does not return. A kernel without a network has nil.
func Main(network *Network) {
	metal.Mark("Go runtime")
	k, p, err := start(network)
	if err != nil {
		message("gosv kernel: " + err.Error() + "\n")
		metal.Exit(exitCode(err))
	}
	metal.Mark("program loaded")
	p.ReportBoot()
	if network != nil {
		network.Start(k, diagnosis)
	}
	if verbose() != nil {
		printMachine()
		k.StartDevices()
	}
	if _, ok := boot.Option(metal.CmdLine(), "gosv.boot-timing"); ok {
		printMarks()
	}
	if how, ok := boot.Option(metal.CmdLine(), "gosv.debug"); ok {
		fail(how)
	}
	if console.Preferred() {
		console.Prefer(k.StartDevices)
	}
	go func() {
		p.Attend()
		gotimer.Sleep(devicesAfter)
		k.StartDevices()
	}()
	p.Run()
}

// devicesAfter is when devices are started that nobody has asked for, in ns of
// the program's run: when it is not one of those that end at once.
const devicesAfter = 1_000_000_000

// diagnosis writes a line about the machine.
func diagnosis(s string) { message("gosv kernel: " + s + "\n") }

// fail makes the kernel fail, for tests of what is reported then.
func fail(how string) {
	switch how {
	case "fault":
		metal.Fail(metal.FailFault)
	case "double-fault":
		metal.Fail(metal.FailDoubleFault)
	case "hang-off":
		metal.Fail(metal.FailHang)
	case "panic":
		panic("as gosv.debug asks")
	case "hang":
		for {
		}
	}
	message("gosv kernel: gosv.debug: there are fault, double-fault, panic, hang and hang-off\n")
	metal.Exit(exitFailed)
}

// start makes a process of the application that came as initrd, or is on a disk.
func start(network *Network) (*linux.Kernel, *linux.Process, error) {
	k := linux.NewKernel()
	k.Log = message
	k.FindDevices = func(k *linux.Kernel) { devices.Find(k, nil, verbose(), diagnosis) }
	if network != nil {
		k.FindDevices = func(k *linux.Kernel) { devices.Find(k, network.Attach, verbose(), diagnosis) }
	}
	var files, encoded []byte
	var err error
	disk := ""
	if img := metal.Initrd(); len(img) != 0 {
		files, encoded, err = appimage.Split(img)
	} else {
		disk, encoded, err = fromDisk(k)
	}
	if err != nil {
		return nil, nil, err
	}
	app, err := appimage.Parse(encoded)
	if err != nil {
		return nil, nil, err
	}
	if disk == "" {
		disk = app.Root
	}
	k.HostName = app.HostName
	k.Exit = console.Exit
	if app.Plan != nil && !k.Diagnose(app.Plan, linux.SendRecord) {
		return nil, nil, errors.New("the image says in a way that makes no sense what to report of its program")
	}
	if k.Root, err = mount(k, files, disk); err != nil {
		return nil, nil, errors.New("root file system: " + err.Error())
	}
	for _, d := range app.Disks {
		if err := k.MountDisk(d.Name, d.Path, d.Overlay); err != nil {
			return nil, nil, errors.New(d.Path + ": " + err.Error())
		}
	}
	metal.Mark("file systems")
	p, err := k.Start(&linux.Program{Path: app.Exe, Argv: app.Args, Envp: app.Env, Dir: app.Cwd, UID: app.UID, GID: app.GID, Groups: app.Groups})
	return k, p, err
}

// fromDisk returns the name of the disk that the command line names, and the encoded config
// of the application image that it is.
func fromDisk(k *linux.Kernel) (name string, config []byte, err error) {
	name, ok := boot.Option(metal.CmdLine(), "gosv.root")
	if !ok {
		const dev = "/dev/" // as Firecracker has it of a root device
		if name, ok = boot.Option(metal.CmdLine(), "root"); ok && len(name) > len(dev) && name[:len(dev)] == dev {
			name = name[len(dev):]
		}
	}
	if !ok {
		return "", nil, errors.New("no application: start it with an initrd made by gosv build, or on a disk that gosv.root names")
	}
	r, err := k.DiskReader(name)
	if err != nil {
		return "", nil, err
	}
	size := r.Volume.Size()
	footer := make([]byte, appimage.FooterSize)
	if e := r.Read(footer, size-appimage.FooterSize); e != 0 {
		return "", nil, errors.New(name + ": " + e.Error())
	}
	off, n, err := appimage.Place(footer, uint64(size))
	if err != nil {
		return "", nil, errors.New(name + ": " + err.Error())
	}
	const most = 16 << 20
	if n > most {
		return "", nil, errors.New(name + ": " + appimage.ErrLayout.Error())
	}
	config = make([]byte, n)
	if e := r.Read(config, int64(off)); e != 0 {
		return "", nil, errors.New(name + ": " + e.Error())
	}
	if !appimage.Intact(footer, config) {
		return "", nil, errors.New(name + ": " + appimage.ErrConfig.Error())
	}
	return name, config, nil
}

// verbose is where to say what is found on the machine, nil if nobody wants to know.
func verbose() func(string) {
	if _, ok := boot.Option(metal.CmdLine(), "gosv.verbose"); ok {
		return diagnosis
	}
	return nil
}

// mount makes the root file system: the image, or what is on a disk if there is none, and
// memory on top of it for what the application writes.
func mount(k *linux.Kernel, image []byte, disk string) (*fs.Namespace, error) {
	pages := k.FilePages()
	var lower fs.Inode
	if len(image) != 0 {
		f, err := erofs.Mount(image, imageDevice, pages)
		if err != nil {
			return nil, err
		}
		lower = f.Root()
	} else {
		var err error
		if lower, err = k.RootDisk(disk, imageDevice); err != nil {
			return nil, err
		}
	}
	upper := tmpfs.New(tmpfs.Config{
		Device: rootDevice,
		Pages:  pages,
		Now:    linux.FileTime,
		Memory: mm.FreeMemory,
		Lower:  lower,
		Magic:  fs.MagicOverlay,
	})
	return k.Namespace(upper.Root()), nil
}

// exitCode says what gosv run is to exit with.
func exitCode(err error) int {
	s, ok := err.(*linux.StartError)
	switch {
	case !ok:
		return exitFailed
	case s.NotFound:
		return exitNoSuchFile
	}
	return exitNoExec
}

// message writes to the kernel's message stream.
func message(s string) { console.Write(metal.Message, []byte(s)) }

// printMachine prints what was found on the machine.
func printMachine() {
	entry, apic, rate := metal.Found()
	free, total := metal.FreeMemory()
	message("gosv kernel: entered by " + entry + "; CPUs: " + strconv.Itoa(metal.CPUs()) +
		"; memory: " + strconv.FormatUint(total>>20, 10) + " MiB, " + strconv.FormatUint(free>>20, 10) + " free; " + apic +
		"; TSC at " + strconv.FormatUint(metal.TSCHz()/1e6, 10) + " MHz by " + rate + "\n")
}

// printMarks prints the stages of the boot.
func printMarks() {
	metal.Marks(func(stage string, ns, ticks uint64) {
		message("boot: " + strconv.FormatUint(ns/1000, 10) + " us, " + strconv.FormatUint(ticks, 10) + " ticks: " + stage + "\n")
	})
}
