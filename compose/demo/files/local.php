<?php
// The demo's settings: an open wiki that asks nothing of the network.
$conf['title'] = 'Stratus demo';
$conf['tagline'] = 'Deployed while you read it';
$conf['license'] = '';
$conf['useacl'] = 0;
$conf['updatecheck'] = 0;
$conf['disableactions'] = 'register,resendpwd,profile';
