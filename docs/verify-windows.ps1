<#
.SYNOPSIS
Checks on a Windows host what could not be checked without one: quarry-logon, quarry run-as, and this
machine's logs (quarry scan .).

.DESCRIPTION
Makes two local accounts with random passwords, runs the checks, and removes them. Run it in an
elevated PowerShell 5.1 or 7, on a machine on which a mistake does no harm:

    cargo build --release -p quarry-cli
    powershell -ExecutionPolicy Bypass -File docs\verify-windows.ps1 -Quarry target\release\quarry.exe

It prints a line a check and ends with the number of failures. With -Domain CORP and -DomainUser ann it
asks for that account's password, and checks domain logons too.
#>
[CmdletBinding()]
param(
    [string] $Quarry = 'target\release\quarry.exe',
    [string] $Domain,
    [string] $DomainUser
)
Set-StrictMode -Version 2
$ErrorActionPreference = 'Stop'
$Quarry = (Resolve-Path $Quarry).Path
$script:failures = 0

function Check([string] $what, [scriptblock] $test) {
    try { $ok = & $test; $why = '' } catch { $ok = $false; $why = ": $_" }
    if (@($ok)[-1] -eq $true) { Write-Output "ok      $what" }
    else { $script:failures++; Write-Output "FAILED  $what$why" }
}

# Runs quarry run-as with a password on standard input: exit code, output, errors, seconds.
function RunAs([string] $password, [string[]] $arguments) {
    $start = New-Object System.Diagnostics.ProcessStartInfo
    $start.FileName = $Quarry
    $quoted = $arguments | ForEach-Object { if ($_ -match '[\s"]') { '"' + ($_ -replace '"', '\"') + '"' } else { $_ } }
    $start.Arguments = 'run-as ' + ($quoted -join ' ')
    $start.UseShellExecute = $false
    $start.RedirectStandardInput = $true
    $start.RedirectStandardOutput = $true
    $start.RedirectStandardError = $true
    $clock = [System.Diagnostics.Stopwatch]::StartNew()
    $process = [System.Diagnostics.Process]::Start($start)
    $out = $process.StandardOutput.ReadToEndAsync()
    $err = $process.StandardError.ReadToEndAsync()
    $process.StandardInput.WriteLine($password)
    $process.StandardInput.Close()
    if (-not $process.WaitForExit(120000)) { $process.Kill(); throw 'it did not end in two minutes' }
    [pscustomobject]@{
        Code = $process.ExitCode; Out = $out.Result.Trim(); Err = $err.Result.Trim()
        Seconds = $clock.Elapsed.TotalSeconds
    }
}

function NewPassword { -join ((1..24) | ForEach-Object { [char](Get-Random -InputObject (33, 35 + 48..57 + 65..90 + 97..122)) }) + 'aA1!' }

$user = 'quarry-verify'
$disabled = 'quarry-verify-off'
$password = NewPassword
$wrong = NewPassword
$here = $env:COMPUTERNAME

foreach ($name in $user, $disabled) {
    if (Get-LocalUser -Name $name -ErrorAction SilentlyContinue) { throw "there is an account $name already" }
}
$secure = ConvertTo-SecureString $password -AsPlainText -Force
try {
    New-LocalUser -Name $user -Password $secure -PasswordNeverExpires | Out-Null
    New-LocalUser -Name $disabled -Password $secure -Disabled | Out-Null
    Add-LocalGroupMember -SID 'S-1-5-32-545' -Member $user

    # -- The unit and integration tests, where there is a Rust toolchain.
    if (Get-Command cargo -ErrorAction SilentlyContinue) {
        Check 'cargo test -p quarry-logon' { cargo test -p quarry-logon 2>&1 | Out-Null; $LASTEXITCODE -eq 0 }
    } else { Write-Output 'skipped cargo test: there is no cargo' }

    # -- CreateProcessWithLogonW: the default of run-as.
    foreach ($name in $user, ".\$user", "$here\$user") {
        Check "the command is the user, asked for as $name" {
            $r = RunAs $password @($name, '--password-fd', '0', '--', 'whoami')
            $r.Code -eq 0 -and $r.Out -eq "$here\$user".ToLowerInvariant()
        }
    }
    Check 'the groups are the user''s' {
        $r = RunAs $password @($user, '--password-fd', '0', '--', 'whoami', '/groups', '/fo', 'csv', '/nh')
        $r.Out -match 'S-1-5-32-545' -and $r.Out -notmatch 'S-1-5-32-544'
    }
    Check 'the exit code has all its bits' {
        (RunAs $password @($user, '--password-fd', '0', '--', 'cmd', '/c', 'exit 1000000')).Code -eq 1000000
    }
    Check 'a command that does not exist is 127' {
        (RunAs $password @($user, '--password-fd', '0', '--', 'no-such-program')).Code -eq 127
    }
    Check 'standard input, output and error go through' {
        $r = RunAs "$password`nsecond line" @($user, '--password-fd', '0', '--', 'cmd', '/c', 'findstr second & echo err 1>&2')
        $r.Out -eq 'second line' -and $r.Err -match 'err'
    }
    Check 'arguments arrive as they are' {
        $r = RunAs $password @($user, '--password-fd', '0', '--', 'powershell', '-NoProfile', '-Command', 'Write-Output "a  b"')
        $r.Out -eq 'a  b'
    }
    Check '--login: folder, environment and registry hive are the user''s' {
        $r = RunAs $password @($user, '--login', '--password-fd', '0', '--', 'powershell', '-NoProfile', '-Command',
            '$env:USERNAME; $env:USERPROFILE; (Get-Location).Path; Test-Path HKCU:\Software')
        $lines = $r.Out -split "`r?`n"
        $lines[0] -eq $user -and $lines[1] -like "*\$user*" -and $lines[3] -eq 'True'
    }
    Check 'a secret of the caller''s environment is not in --env-clean' {
        $env:QUARRY_VERIFY = 'seen'
        $r = RunAs $password @($user, '--env-clean', '--password-fd', '0', '--', 'cmd', '/c', 'echo %QUARRY_VERIFY%')
        $r.Out -eq '%QUARRY_VERIFY%'
    }

    # -- Refusals.
    Check 'a wrong password is refused, after three seconds, with 125' {
        $r = RunAs $wrong @($user, '--password-fd', '0', '--', 'whoami')
        $r.Code -eq 125 -and $r.Seconds -ge 3 -and $r.Err -match 'the logon was refused'
    }
    Check 'an account that does not exist and one that is disabled are answered the same' {
        $a = RunAs $wrong @('quarry-nobody', '--password-fd', '0', '--', 'whoami')
        $b = RunAs $wrong @($disabled, '--password-fd', '0', '--', 'whoami')
        $c = RunAs $wrong @($user, '--password-fd', '0', '--', 'whoami')
        $a.Err -eq $b.Err -and $b.Err -eq $c.Err
    }
    Check 'a refusal is in the Application log, without the password' {
        Start-Sleep -Seconds 1
        $events = Get-WinEvent -FilterHashtable @{ LogName = 'Application'; ProviderName = 'quarry run-as' } -MaxEvents 20
        $text = ($events | ForEach-Object { $_.ToXml() }) -join "`n"
        $text -match [regex]::Escape($user) -and -not $text.Contains($wrong) -and -not $text.Contains($password)
    }

    # -- Other types: LogonUserW, CreateProcessAsUserW or CreateProcessWithTokenW.
    Check '--type batch without the right names SeBatchLogonRight' {
        $r = RunAs $password @($user, '--type', 'batch', '--password-fd', '0', '--', 'whoami')
        $r.Code -eq 125 -and $r.Err -match 'SeBatchLogonRight'
    }
    Check '--type network-cleartext runs the command as the user' {
        $r = RunAs $password @($user, '--type', 'network-cleartext', '--password-fd', '0', '--', 'whoami')
        $r.Code -eq 0 -and $r.Out -eq "$here\$user".ToLowerInvariant()
    }
    Check '--netonly stays oneself here, whatever the password' {
        $r = RunAs $wrong @("$here\$user", '--netonly', '--password-fd', '0', '--', 'whoami')
        $r.Code -eq 0 -and $r.Out -eq (whoami)
    }

    # -- Without privileges.
    Check 'somebody who is not an administrator can run-as too' {
        $inner = "echo $password| `"$Quarry`" run-as $user --password-fd 0 -- whoami"
        $r = RunAs $password @($user, '--password-fd', '0', '--', 'cmd', '/c', $inner)
        $r.Out -match [regex]::Escape($user)
    }

    # -- A domain.
    if ($Domain -and $DomainUser) {
        $asked = Read-Host "Password of $Domain\$DomainUser" -AsSecureString
        $plain = (New-Object System.Net.NetworkCredential('', $asked)).Password
        foreach ($name in "$Domain\$DomainUser", $DomainUser) {
            Check "a domain account, asked for as $name" {
                $r = RunAs $plain @($name, '--password-fd', '0', '--', 'whoami')
                $r.Out -eq "$Domain\$DomainUser".ToLowerInvariant()
            }
        }
        Check 'a domain account by its principal name' {
            $upn = RunAs $plain @("$Domain\$DomainUser", '--password-fd', '0', '--', 'whoami', '/upn')
            $r = RunAs $plain @($upn.Out, '--password-fd', '0', '--', 'whoami')
            $r.Out -eq "$Domain\$DomainUser".ToLowerInvariant()
        }
        Check 'with --netonly the domain sees the other account' {
            $r = RunAs $plain @("$Domain\$DomainUser", '--netonly', '--password-fd', '0', '--', 'klist', 'get', "krbtgt/$Domain")
            $r.Out -match [regex]::Escape($DomainUser)
        }
    }

    # -- This machine.
    function Events([string[]] $arguments) { & $Quarry scan @arguments -q -o jsonl | ForEach-Object { $_ | ConvertFrom-Json } }
    $exported = Join-Path ([IO.Path]::GetTempPath()) 'quarry-verify.evtx'
    foreach ($log in 'System', 'Application', 'Security') {
        Check "$log by . and from an exported file is the same, event by event" {
            Remove-Item $exported -ErrorAction SilentlyContinue
            wevtutil epl $log $exported
            $fields = 'record_id,time,event_id,version,level,task,opcode,keywords,provider,provider_guid,computer,' +
                'user_sid,process_id,thread_id,activity_id,data,user_data'
            $file = @(& $Quarry scan $exported -q -o jsonl --fields $fields)
            $live = @(& $Quarry scan . -l $log -n $file.Count -q -o jsonl --fields $fields)
            $file.Count -gt 0 -and -not (Compare-Object $file $live)
        }
    }
    Check 'newest first is the other way round' {
        $r = @(Events '.', '-l', 'System', '-r', '-n', '1000') | ForEach-Object { $_.log_record }
        -not (Compare-Object $r ($r | Sort-Object -Descending) -SyncWindow 0)
    }
    Check 'a filter finds what Get-WinEvent finds' {
        $id = (Get-WinEvent -LogName System -MaxEvents 1).Id
        $ours = @(Events '.', '-l', 'System', '-i', "$id", '-S', '1d').Count
        $theirs = @(Get-WinEvent -FilterHashtable @{ LogName = 'System'; Id = $id; StartTime = (Get-Date).AddDays(-1) }).Count
        [Math]::Abs($ours - $theirs) -le 2
    }
    Check 'the log''s name is as Windows spells it' { (Events '.', '-l', 'system', '-n', '1').log -ceq 'System' }
    Check 'count agrees with Windows' {
        $ours = (& $Quarry count . -l Application -q -o jsonl | ConvertFrom-Json).records
        [Math]::Abs($ours - (Get-WinEvent -ListLog Application).RecordCount) -le 5
    }
    Check 'logs lists the channels' {
        $ours = @(& $Quarry logs . -q -o jsonl).Count
        $ours -gt 100
    }
    Check 'a log that does not exist is named' {
        $text = (cmd /c "`"$Quarry`" scan . -l `"No such log`" 2>&1" | Out-String); $LASTEXITCODE -eq 2 -and $text -match 'there is no log No such log'
    }
    Check 'tail shows an event that is written meanwhile, within two seconds' {
        $mark = "quarry-verify $([Guid]::NewGuid())"
        $job = Start-Job { param($q) & $q tail . -l Application -n 0 -o jsonl --deadline 8s } -ArgumentList $Quarry
        Start-Sleep -Seconds 4
        eventcreate /L Application /T INFORMATION /ID 999 /SO quarry-verify /D $mark | Out-Null
        Start-Sleep -Seconds 2
        $seen = (Receive-Job $job | Out-String) -match [regex]::Escape($mark)
        Remove-Job $job -Force
        $seen
    }
    Check 'somebody without rights is told what to do about Security' {
        $r = RunAs $password @($user, '--password-fd', '0', '--', $Quarry, 'scan', '.', '-l', 'Security', '-n', '1')
        $r.Err -match 'may not read Security' -and $r.Err -match 'run this as administrator'
    }
    Remove-Item $exported -ErrorAction SilentlyContinue

    Write-Output ''
    Write-Output 'By hand, at a console:'
    Write-Output "  $Quarry run-as $user -- cmd        asks for the password unseen; dir, Ctrl-C and exit work in it"
    Write-Output "  cmdkey /generic:$user.quarry /user:$user /pass, then  $Quarry run-as $user --keyring -- whoami"
} finally {
    foreach ($name in $user, $disabled) { Remove-LocalUser -Name $name -ErrorAction SilentlyContinue }
    Get-CimInstance Win32_UserProfile -ErrorAction SilentlyContinue |
        Where-Object { $_.LocalPath -like "*\$user*" } | Remove-CimInstance -ErrorAction SilentlyContinue
}
Write-Output "$script:failures failures"
exit [Math]::Min($script:failures, 1)
