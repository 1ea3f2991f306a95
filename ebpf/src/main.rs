//! Every attach point on one screen. What happens behind each is in the module it calls.
#![no_std]
#![feature(asm_experimental_arch)]
#![no_main]
#![allow(unsafe_code, reason = "kernel programs read kernel memory; the verifier checks each access")]

mod access;
mod answer;
mod carriers;
mod change;
mod connect;
mod descriptor;
mod emit;
mod filter;
mod holders;
mod inspect;
mod kernel;
mod life;
mod path;
mod scratch;
mod seen;
mod socket;
mod task;
mod uring;

use aya_ebpf::{
    macros::{btf_tracepoint, fentry, lsm, tracepoint},
    programs::{BtfTracePointContext, FEntryContext, LsmContext, TracePointContext},
};
use aya_log_ebpf::error;
use tokenhound_common::record::Way;

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

/// The same event: what a program finds open when it starts. A program of its own, because each may be so long only.
#[btf_tracepoint(function = "sched_process_exec")]
fn exec_holder(ctx: BtfTracePointContext) -> i32 {
    holders::exec(ctx.arg(0))
}

/// What carriers have open when they end.
#[btf_tracepoint(function = "sched_process_exit")]
fn exit_carrier(ctx: BtfTracePointContext) -> i32 {
    carriers::exit(ctx.arg(0))
}

/// `TP_PROTO(task)`; later kernels add arguments behind it.
#[btf_tracepoint(function = "sched_process_exit")]
fn process_exit(ctx: BtfTracePointContext) -> i32 {
    life::exit(ctx.arg(0))
}

/// One hook of the security modules, as a program of its own for each of the tiers `lsm` and `fentry`. The arguments are
/// the same. An LSM program that returns 0 leaves the decision to others.
macro_rules! security {
    ($($lsm:ident $fentry:ident $hook:literal $function:literal |$ctx:ident| $body:expr;)+) => {$(
        #[lsm(hook = $hook)]
        fn $lsm($ctx: LsmContext) -> i32 {
            $body
        }

        #[fentry(function = $function)]
        fn $fentry($ctx: FEntryContext) -> i32 {
            $body
        }
    )+};
}

security! {
    lsm_file_open file_open "file_open" "security_file_open" |ctx| access::opened(ctx.arg(0));
    // Attached only while somebody holds a watched file.
    lsm_file_read file_read "file_permission" "security_file_permission" |ctx| access::permitted(ctx.arg(0), ctx.arg(1));
    lsm_file_map file_map "mmap_file" "security_mmap_file" |ctx| access::mapped(ctx.arg(0));
    lsm_receive file_receive "file_receive" "security_file_receive" |ctx| access::received(ctx.arg(0));
    lsm_link inode_link "inode_link" "security_inode_link" |ctx| change::link(ctx.arg(0), ctx.arg(2));
    lsm_rename inode_rename "inode_rename" "security_inode_rename" |ctx| change::rename(ctx.arg(1), ctx.arg(3));
    lsm_unlink inode_unlink "inode_unlink" "security_inode_unlink" |ctx| change::unlink(ctx.arg(1));
    lsm_symlink inode_symlink "inode_symlink" "security_inode_symlink" |ctx| change::symlink(ctx.arg(1), ctx.arg(2));
    lsm_mount sb_mount "sb_mount" "security_sb_mount" |ctx| change::mount(ctx.arg(0), ctx.arg(1), ctx.arg(3));
    lsm_move_mount move_mount "move_mount" "security_move_mount" |ctx| change::move_mount(ctx.arg(0), ctx.arg(1));
    lsm_unix unix_connect "unix_stream_connect" "security_unix_stream_connect" |ctx| connect::unix(ctx.arg(1));
    lsm_connect socket_connect "socket_connect" "security_socket_connect" |ctx| connect::address(ctx.arg(1));
    // Attached only while there are carriers.
    lsm_send socket_send "socket_sendmsg" "security_socket_sendmsg" |ctx| connect::sends(ctx.arg(1));
    lsm_ptrace ptrace_check "ptrace_access_check" "security_ptrace_access_check" |ctx| {
        inspect::checked(ctx.arg(0), ctx.arg(1))
    };
}

/// `inode_setattr`, since different kernels with the id mapping of the mount before the dentry.
#[lsm(hook = "inode_setattr")]
fn lsm_setattr(ctx: LsmContext) -> i32 {
    if kernel::setattr_dentry(true) == 0 {
        change::attributes(ctx.arg(0), ctx.arg(1))
    } else {
        change::attributes(ctx.arg(1), ctx.arg(2))
    }
}

#[fentry(function = "security_inode_setattr")]
fn inode_setattr(ctx: FEntryContext) -> i32 {
    if kernel::setattr_dentry(false) == 0 {
        change::attributes(ctx.arg(0), ctx.arg(1))
    } else {
        change::attributes(ctx.arg(1), ctx.arg(2))
    }
}

/// Tiers `lsm` and `fentry`: `ptrace_access_vm(child, address, buffer, length, flags)`.
#[fentry(function = "ptrace_access_vm")]
fn ptrace_peek(ctx: FEntryContext) -> i32 {
    inspect::peeked(ctx.arg(0), ctx.arg(4))
}

/// `generic_ptrace_peekdata(child, address, data)`, where the compiler has put the former into it (Debian's 7.2).
#[fentry(function = "generic_ptrace_peekdata")]
fn ptrace_word(ctx: FEntryContext) -> i32 {
    inspect::peeked(ctx.arg(0), 0)
}

/// Tier `tracepoint`: the exits of all system calls that return a new descriptor for a name or a handle. The file is
/// taken from the descriptor table, never from the caller's string.
#[tracepoint]
fn exit_open(ctx: TracePointContext) -> u32 {
    access::returned(&ctx, Way::OPEN)
}

#[tracepoint]
fn exit_openat(ctx: TracePointContext) -> u32 {
    access::returned(&ctx, Way::OPEN)
}

#[tracepoint]
fn exit_openat2(ctx: TracePointContext) -> u32 {
    access::returned(&ctx, Way::OPEN)
}

#[tracepoint]
fn exit_creat(ctx: TracePointContext) -> u32 {
    access::returned(&ctx, Way::OPEN)
}

#[tracepoint]
fn exit_handle(ctx: TracePointContext) -> u32 {
    access::returned(&ctx, Way::OPEN)
}

/// Descriptors from others. Taking one is to look into the other process as well.
#[tracepoint]
fn exit_getfd(ctx: TracePointContext) -> u32 {
    inspect::pidfd_getfd();
    access::returned(&ctx, Way::RECEIVE)
}

#[tracepoint]
fn exit_recvmsg(ctx: TracePointContext) -> u32 {
    socket::message(&ctx)
}

#[tracepoint]
fn exit_recvmmsg(ctx: TracePointContext) -> u32 {
    socket::messages(&ctx)
}

/// Connections, of all families.
#[tracepoint]
fn exit_connect(ctx: TracePointContext) -> u32 {
    connect::returned(&ctx)
}

/// What is sent to an address without a connection. Attached only while there are carriers, as are the answers below.
#[tracepoint]
fn exit_sendto(ctx: TracePointContext) -> u32 {
    connect::sent(&ctx)
}

#[tracepoint]
fn exit_sendmsg(ctx: TracePointContext) -> u32 {
    connect::sent_message(&ctx)
}

#[tracepoint]
fn exit_sendmmsg(ctx: TracePointContext) -> u32 {
    connect::sent_messages(&ctx)
}

/// Answers of name servers, on every tier: no hook of the security modules sees what has arrived.
#[tracepoint]
fn answer_recvfrom(ctx: TracePointContext) -> u32 {
    answer::received(&ctx)
}

#[tracepoint]
fn answer_recvmsg(ctx: TracePointContext) -> u32 {
    answer::message(&ctx)
}

#[tracepoint]
fn answer_recvmmsg(ctx: TracePointContext) -> u32 {
    answer::messages(&ctx)
}

/// `TP_PROTO(context, request, ...)`, differently on many kernels.
#[btf_tracepoint(function = "io_uring_complete")]
fn uring_complete(ctx: BtfTracePointContext) -> i32 {
    uring::completed(&ctx)
}

/// Looking into other processes.
#[tracepoint]
fn exit_ptrace(_ctx: TracePointContext) -> u32 {
    inspect::ptrace()
}

#[tracepoint]
fn exit_vm_readv(_ctx: TracePointContext) -> u32 {
    inspect::vm_read()
}

/// Tiers `lsm` and `fentry`: a file is closed for good. Attached only while there are carriers, as the next two.
#[fentry(function = "locks_remove_file")]
fn file_released(ctx: FEntryContext) -> i32 {
    carriers::released(ctx.arg(0))
}

/// Tier `tracepoint`: a descriptor is closed.
#[tracepoint]
fn enter_close(ctx: TracePointContext) -> u32 {
    carriers::closes(access::argument::<0>(&ctx))
}

/// `dup2` and `dup3` close what they put something else in the place of.
#[tracepoint]
fn enter_dup(ctx: TracePointContext) -> u32 {
    carriers::closes(access::argument::<1>(&ctx))
}

/// Reads, by the place of the descriptor among the arguments. Attached only while somebody holds a watched file.
#[tracepoint]
fn enter_read(ctx: TracePointContext) -> u32 {
    access::reads::<0>(&ctx, Way::READ)
}

#[tracepoint]
fn enter_sendfile(ctx: TracePointContext) -> u32 {
    access::reads::<1>(&ctx, Way::READ)
}

#[tracepoint]
fn enter_mmap(ctx: TracePointContext) -> u32 {
    access::reads::<4>(&ctx, Way::MAP)
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
