package virtio

// legacyAlign is the alignment of a legacy device's used ring, and of the queue
// itself, whose address the device gets as a page's number.
const legacyAlign = 4096
