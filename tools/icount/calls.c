/*
 * calls: how often each call instruction in the upper half of the address space, where the
 * kernel is, calls what, for QEMU TCG (plugin API v1) and one CPU:
 *   qemu-system-x86_64 -accel tcg -plugin calls.so,out=x.calls ...
 * x.calls gets a line "FROM TO COUNT" each, two addresses in hexadecimal, at exit.
 *
 * A call is the last instruction of its translation block; where it leads is where the next
 * block begins. An interrupt between the two takes the callee's place.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "plugin_abi.h"

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

struct call {
    uint64_t from, to, count;
    struct call *next;
};

static struct call *calls[1 << 16];     /* by hash */
static uint64_t from;                   /* the call under way, or 0 */
static FILE *out;

static void on_call(unsigned int cpu, void *at)
{
    from = (uintptr_t)at;
}

static void on_exec(unsigned int cpu, void *at)
{
    if (!from)
        return;
    uint64_t to = (uintptr_t)at;
    struct call **head = &calls[(from * 31 + to) * 0x9e3779b97f4a7c15 >> 48], *c = *head;
    while (c && (c->from != from || c->to != to))
        c = c->next;
    if (!c) {
        c = malloc(sizeof *c);
        *c = (struct call){from, to, 0, *head};
        *head = c;
    }
    c->count++;
    from = 0;
}

static int is_call(const struct qemu_plugin_insn *in)
{
    const uint8_t *p = qemu_plugin_insn_data(in);
    size_t n = qemu_plugin_insn_size(in), i = 0;
    while (i + 1 < n && (p[i] & 0xf0) == 0x40)          /* REX */
        i++;
    return p[i] == 0xe8 || (p[i] == 0xff && (p[i + 1] >> 3 & 7) == 2);
}

static void on_tb(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    uint64_t first = qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, 0));
    if (!(first >> 63))
        return;
    qemu_plugin_register_vcpu_tb_exec_cb(tb, on_exec, QEMU_PLUGIN_CB_NO_REGS, (void *)(uintptr_t)first);
    struct qemu_plugin_insn *last = qemu_plugin_tb_get_insn(tb, qemu_plugin_tb_n_insns(tb) - 1);
    if (is_call(last))
        qemu_plugin_register_vcpu_insn_exec_cb(last, on_call, QEMU_PLUGIN_CB_NO_REGS,
                                               (void *)(uintptr_t)qemu_plugin_insn_vaddr(last));
}

static void at_exit(qemu_plugin_id_t id, void *u)
{
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        for (struct call *c = calls[i]; c; c = c->next)
            fprintf(out, "%" PRIx64 " %" PRIx64 " %" PRIu64 "\n", c->from, c->to, c->count);
    fclose(out);
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    if (argc != 1 || strncmp(argv[0], "out=", 4)) {
        fprintf(stderr, "calls: out=FILE is missing\n");
        return -1;
    }
    out = fopen(argv[0] + 4, "w");
    if (!out) {
        perror(argv[0] + 4);
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_tb);
    qemu_plugin_register_atexit_cb(id, at_exit, NULL);
    return 0;
}
