//! Every attach point on one screen. What happens behind each is in the module it calls.
#![no_std]
#![feature(asm_experimental_arch)]
#![no_main]
#![allow(unsafe_code, reason = "kernel programs read kernel memory; the verifier checks each access")]

mod descriptor;
mod emit;
mod filter;
mod kernel;
mod life;
mod open;
mod path;
mod scratch;
mod task;

use aya_ebpf::{
    macros::{btf_tracepoint, fentry, tracepoint},
    programs::{BtfTracePointContext, FEntryContext, TracePointContext},
};
use aya_log_ebpf::error;

/// Process life, on every tier. `TP_PROTO(parent, child)`.
#[btf_tracepoint(function = "sched_process_fork")]
fn process_fork(ctx: BtfTracePointContext) -> i32 {
    life::fork(ctx.arg(0), ctx.arg(1))
}

/// `TP_PROTO(task, old_pid, bprm)`.
#[btf_tracepoint(function = "sched_process_exec")]
fn process_exec(ctx: BtfTracePointContext) -> i32 {
    if let Err(reason) = life::exec(ctx.arg(0), ctx.arg(2)) {
        emit::lost(reason);
        error!(&ctx, "an exec record could not be put together, reason {}", reason.0);
    }
    0
}

/// `TP_PROTO(task)`; later kernels add arguments behind it.
#[btf_tracepoint(function = "sched_process_exit")]
fn process_exit(ctx: BtfTracePointContext) -> i32 {
    life::exit(ctx.arg(0))
}

/// Tier `fentry`: `security_file_open(file)` sees every way to open, io_uring and handles included.
#[fentry(function = "security_file_open")]
fn file_open(ctx: FEntryContext) -> i32 {
    open::opened(ctx.arg(0))
}

/// Tier `tracepoint`: the exits of all system calls that return a new descriptor for a name or a handle. The file is
/// taken from the descriptor table, never from the caller's string.
#[tracepoint]
fn exit_open(ctx: TracePointContext) -> u32 {
    open::returned(&ctx)
}

#[tracepoint]
fn exit_openat(ctx: TracePointContext) -> u32 {
    open::returned(&ctx)
}

#[tracepoint]
fn exit_openat2(ctx: TracePointContext) -> u32 {
    open::returned(&ctx)
}

#[tracepoint]
fn exit_creat(ctx: TracePointContext) -> u32 {
    open::returned(&ctx)
}

#[tracepoint]
fn exit_open_by_handle(ctx: TracePointContext) -> u32 {
    open::returned(&ctx)
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // No panicking path survives compilation: the verifier would refuse the loop.
    loop {}
}

/// GPL as the kernel demands for the helpers used; the source is offered under more licences (see Cargo.toml).
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";
