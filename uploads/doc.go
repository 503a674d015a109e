// Package uploads takes photos from strangers and keeps them in a folder.
//
// [OpenDir] opens the folder, [Dir.Accept] reads one photo and returns when it
// is clean and on disk, [Dir.Handler] serves the photos to browsers. Whatever
// came in, what is stored is a new JPEG made from the pixels alone, upright,
// under the SHA-256 of its own bytes.
//
// # Promises
//
//   - What Accept returned is there after a crash, a kill or a power cut. What
//     it refused, or was interrupted in, leaves nothing behind.
//   - Nothing but pixels survives: no GPS position, no camera, no thumbnail, no
//     bytes before or after the picture, whatever the name or type it came with.
//   - Only what decodes to its end is a photo: JPEG, PNG, WebP, and the first
//     frame of a GIF. Size is checked before anything is allocated, and the
//     number of a JPEG's scans before its decoder goes over all pixels for each.
//   - Pictures that are decoded at once never hold more than
//     Options.DecodeBytes, or one alone half more than that. By default a process
//     in which all else takes 64 MB stays under 400 MB whatever is sent, 16 at
//     once: a test measures it. Where others make much garbage at the same time,
//     GOMEMLIMIT bounds it.
//   - The same photo sent twice is stored once. A photo never changes under its
//     id, so that browsers keep it for ever.
//   - Photos are refused before the disk is full ([ErrDiskFull]), and taken
//     again by themselves when there is room.
//   - With a [Syncer], every photo comes to a [Remote] in the cloud some time and
//     every deletion too, over outages of days and restarts at any moment, and
//     nothing here ever waits for it. Where browsers find a photo never changes:
//     the handler may send them on to the cloud ([HandlerOptions]).
//
// # Not promised
//
//   - Transparency is laid on white, animation is lost, and JPEG is lossy: this is
//     no archive of originals.
//   - Colour profiles are removed and not applied: every photo is shown as sRGB.
//     Greys stay as they are. Display P3, as iPhones write it, gets a little paler:
//     skin, leaves and sky by 2 to 3 (CIEDE2000), which shows side by side only.
//     Adobe RGB, as some cameras can, gets visibly paler, by 3 to 5. CMYK is
//     converted by the plain formula and is more vivid than its print.
//   - The id is that of the stored bytes. Another version of Go may encode a
//     photo differently and then store it again under another id.
//   - Where a side is odd, turning a photo may move its colours, not its
//     brightness, by one pixel.
//   - What a browser or a cache already has stays there after [Dir.Delete].
//   - A remote that carries out a call more than ten minutes after it gave no
//     answer may be left with a photo that was deleted, or without one that came
//     back.
//   - One process at a time, on a local file system (Unix).
//
// # On disk
//
//	<id>.jpg          a photo; sha256sum prints its name
//	w400/<id>.jpg     made when first asked for, and remade when missing;
//	w800/  w1600/     the same, wider
//	deleted/<id>      a photo that was deleted on purpose, and when; for ever,
//	                  unless a Syncer has it confirmed; whoever puts the file of a
//	                  photo back by hand removes this first, or OpenDir deletes it
//	mirrored/<id>     what a Syncer knows of a photo at the remote
//	.*                being written; OpenDir removes what a crash left
package uploads
