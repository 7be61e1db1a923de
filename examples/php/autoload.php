<?php

// Composer's `vendor/autoload.php` in a project; here Debian's packages php-symfony-mercure and php-symfony-http-client.
require_once 'Symfony/Component/Mercure/autoload.php';
require_once 'Symfony/Component/HttpClient/autoload.php';
