//! The file engine on a simulated device: crashes at every operation, faults at every call, damage to every bit; and bugs
//! planted to see that all this finds them.
#![cfg(any(unix, windows))]

#[path = "storage/crash.rs"]
mod crash;
#[path = "storage/damage.rs"]
mod damage;
#[path = "common/device.rs"]
mod device;
#[path = "storage/failing.rs"]
mod failing;
#[path = "storage/faults.rs"]
mod faults;
#[path = "storage/forged.rs"]
mod forged;
#[path = "storage/objects.rs"]
mod objects;
#[path = "storage/oracle.rs"]
mod oracle;
#[path = "common/planted.rs"]
mod planted;
#[path = "storage/plants.rs"]
mod plants;
#[path = "storage/remains.rs"]
mod remains;
#[path = "storage/sealing.rs"]
mod sealing;
#[path = "storage/verifying.rs"]
mod verifying;
#[path = "storage/workload.rs"]
mod workload;
